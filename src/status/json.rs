// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status for programs. Names of members stay what they are; more of them may come.

use std::{fmt::Write, time::Duration};

use super::snapshot::{AppProcess, AppSnapshot, ServerSnapshot, numbers};
use crate::json::string;

/// The status in JSON (RFC 8259).
#[must_use]
pub fn json(status: &ServerSnapshot) -> String {
    let applications: Vec<String> = status.applications.iter().map(application).collect();
    let mut out = Members::default();
    out.text("server", &status.server);
    out.text("version", env!("CARGO_PKG_VERSION"));
    out.number("time", status.now);
    out.number("started", status.started);
    out.number("configurations", status.configurations);
    out.raw("applications", &format!("[{}]", applications.join(", ")));
    format!("{}\n", out.object())
}

fn application(app: &AppSnapshot) -> String {
    let counts = &app.counts;
    let mut out = Members::default();
    out.text("name", &counts.name);
    out.text("kind", counts.kind.name());
    out.text("state", app.state());
    out.number("waiting", counts.figures.waiting);
    out.number("running", counts.figures.running);
    if counts.places > 0 {
        out.number("threads", counts.places);
        out.number("queue", counts.room);
    }
    if counts.report.generation > 0 {
        out.number("generation", counts.report.generation.into());
    }
    for (name, number) in numbers(counts) {
        out.number(&name, number);
    }
    if let Some(failed) = app.failed() {
        out.number("failed_generation", failed.generation.into());
        out.number("failed_at", failed.at);
        out.text("failed_reason", &failed.reason);
    }
    if let Some(unwell) = app.unwell() {
        out.number("failing_seconds", unwell.age.as_secs());
        out.text("failing_reason", &unwell.reason);
    }
    let processes: Vec<String> = app.processes.iter().map(process).collect();
    out.raw("processes", &format!("[{}]", processes.join(", ")));
    out.object()
}

fn process(process: &AppProcess) -> String {
    let mut out = Members::default();
    out.number("pid", process.pid.into());
    out.text("state", process.state);
    if process.generation > 0 {
        out.number("generation", process.generation.into());
    }
    out.number("requests", process.requests);
    out.number("running", process.running);
    if let Some(request) = &process.request {
        out.text("request", request);
    }
    let millis = |time: Duration| time.as_millis() as u64;
    for (name, number) in [
        ("longest_milliseconds", process.longest.map(millis)),
        ("age_seconds", process.age.map(|age| age.as_secs())),
        ("rss_bytes", process.rss),
        ("pss_bytes", process.pss),
    ] {
        if let Some(number) = number {
            out.number(name, number);
        }
    }
    out.object()
}

#[derive(Default)]
struct Members(String);

impl Members {
    fn raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        let _ = write!(self.0, "\"{name}\": {value}");
    }

    fn number(&mut self, name: &str, number: u64) {
        self.raw(name, &number.to_string());
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &string(text));
    }

    fn object(&self) -> String {
        format!("{{{}}}", self.0)
    }
}
