// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status as OpenMetrics 1.0: families of samples, each with its type, and an end by which it is seen that nothing is missing.
//! No label has a value that a request or a process makes up: their number would grow without bound.

use std::fmt::Write;

use super::{
    block::AppKind,
    histogram::{BOUNDS, Histogram},
    lane::{CodeClass, Incident},
    reason::{ExitReason, RestartReason},
    snapshot::{AppSnapshot, ServerSnapshot},
};

/// The text of all families.
#[must_use]
pub fn metrics(status: &ServerSnapshot) -> String {
    let mut out = Families { text: String::new(), all: &status.applications };
    out.begin("gangway_build", "info", "", "The version of Gangway, and the server that it runs in.");
    let (version, server) = (escape(env!("CARGO_PKG_VERSION")), escape(&status.server));
    out.line(format_args!("gangway_build_info{{version=\"{version}\",server=\"{server}\"}} 1"));
    out.begin("gangway_start_time_seconds", "gauge", "seconds", "When the server was started.");
    out.line(format_args!("gangway_start_time_seconds {}", status.started));
    requests(&mut out);
    places(&mut out);
    incidents(&mut out);
    processes(&mut out);
    out.text.push_str("# EOF\n");
    out.text
}

fn requests(out: &mut Families<'_>) {
    out.begin("gangway_requests", "counter", "", "Requests, by what they were answered with.");
    out.samples("gangway_requests_total", |app| {
        let answers = |class: CodeClass| (vec![("code", class.name())], app.counts.figures.answers(class));
        CodeClass::ALL.map(answers).into()
    });
    let help = "How long the application took for a request.";
    out.histograms("gangway_request_duration_seconds", help, |app| &app.counts.figures.runs);
    let help = "How long a request waited for its turn.";
    out.histograms("gangway_queue_wait_seconds", help, |app| &app.counts.figures.waits);
}

fn places(out: &mut Families<'_>) {
    out.begin("gangway_queue_requests", "gauge", "", "Requests that wait for their turn.");
    out.samples("gangway_queue_requests", |app| one(app.counts.figures.waiting));
    let help = "How many have waited at a time, at most: in one worker, or for processes of its own in all.";
    out.begin("gangway_queue_highest_requests", "gauge", "", help);
    out.samples("gangway_queue_highest_requests", |app| one(app.counts.figures.highest));
    out.begin("gangway_threads", "gauge", "", "Requests that run, and places for more.");
    out.samples("gangway_threads", |app| {
        let busy = app.counts.figures.running;
        let free = app.places().map(|places| places.saturating_sub(busy));
        let busy = Some((vec![("state", "busy")], busy));
        [busy, free.map(|free| (vec![("state", "free")], free))].into_iter().flatten().collect()
    });
}

/// Name, help, label, and what each value of it counts.
type IncidentFamily = (&'static str, &'static str, &'static str, &'static [(&'static str, Incident)]);

fn incidents(out: &mut Families<'_>) {
    let families: [IncidentFamily; 3] = [
        (
            "gangway_timeouts",
            "Requests that got 504, by what took too long.",
            "phase",
            &[("queue", Incident::QueueTimeout), ("run", Incident::RunTimeout)],
        ),
        (
            "gangway_refusals",
            "Requests that were not let in and got 503.",
            "reason",
            &[("queue_full", Incident::QueueFull), ("no_process", Incident::NoProcess)],
        ),
        (
            "gangway_connections",
            "Requests by the connection over which they went to a backend or a process.",
            "state",
            &[("kept", Incident::Kept), ("fresh", Incident::Fresh)],
        ),
    ];
    for (name, help, label, values) in families {
        out.begin(name, "counter", "", help);
        out.samples(&format!("{name}_total"), |app| {
            let count = |(value, incident): &(&'static str, Incident)| {
                (vec![(label, *value)], app.counts.figures.incidents(*incident))
            };
            values.iter().map(count).collect()
        });
    }
    let help = "Requests that were given to another process, because the first one had ended.";
    out.begin("gangway_replays", "counter", "", help);
    out.samples("gangway_replays_total", |app| one(app.counts.figures.incidents(Incident::Replay)));
}

fn processes(out: &mut Families<'_>) {
    out.begin("gangway_processes", "gauge", "", "Processes of an application.");
    out.samples("gangway_processes", |app| {
        let mut states: Vec<(&'static str, u64)> = vec![("ready", 0), ("starting", 0), ("draining", 0)];
        for process in &app.processes {
            match states.iter_mut().find(|(state, _)| *state == process.state) {
                Some((_, count)) => *count += 1,
                None => states.push((process.state, 1)),
            }
        }
        states.into_iter().map(|(state, count)| (vec![("state", state)], count)).collect()
    });
    let help = "Processes that have ended or were replaced.";
    out.begin("gangway_process_exits", "counter", "", help);
    out.samples("gangway_process_exits_total", |app| {
        let exits = |reason: ExitReason| (vec![("reason", reason.name())], app.counts.report.exits(reason));
        managed(app, || ExitReason::ALL.map(exits).into())
    });
    out.begin(
        "gangway_restarts",
        "counter",
        "",
        "New generations of an application, by whether they came to serve.",
    );
    out.samples("gangway_restarts_total", |app| {
        let report = &app.counts.report;
        let outcomes = [("done", report.restarts), ("failed", report.failed_restarts)];
        managed(app, || outcomes.map(|(outcome, count)| (vec![("outcome", outcome)], count)).into())
    });
    let help = "New generations of an application, by what they began for.";
    out.begin("gangway_restarts_begun", "counter", "", help);
    out.samples("gangway_restarts_begun_total", |app| {
        let begun =
            |reason: RestartReason| (vec![("reason", reason.name())], app.counts.report.begun(reason));
        managed(app, || RestartReason::ALL.map(begun).into())
    });
    let help = "Whether the last new generation could not be started, so that an older one serves.";
    out.begin("gangway_deploy_failed", "gauge", "", help);
    out.samples("gangway_deploy_failed", |app| managed(app, || one(app.failed().is_some().into())));
    let help = "Whether an application cannot run, so that its requests fail.";
    out.begin("gangway_failing", "gauge", "", help);
    out.samples("gangway_failing", |app| runs(app, || one(app.unwell().is_some().into())));
    let help = "The memory of an application's own processes; what they share counts in parts.";
    out.begin("gangway_app_memory_pss_bytes", "gauge", "bytes", help);
    out.samples("gangway_app_memory_pss_bytes", |app| app.pss().map(one).unwrap_or_default());
}

/// Labels beside those of the application, and the number.
type Sample = (Vec<(&'static str, &'static str)>, u64);

fn one(number: u64) -> Vec<Sample> {
    vec![(Vec::new(), number)]
}

/// What only an application in processes of its own has.
fn managed(app: &AppSnapshot, samples: impl FnOnce() -> Vec<Sample>) -> Vec<Sample> {
    if app.counts.kind == AppKind::Managed { samples() } else { Vec::new() }
}

/// What an application of an engine has, or one in processes of its own.
fn runs(app: &AppSnapshot, samples: impl FnOnce() -> Vec<Sample>) -> Vec<Sample> {
    if matches!(app.counts.kind, AppKind::Managed | AppKind::InProcess) { samples() } else { Vec::new() }
}

struct Families<'a> {
    text: String,
    all: &'a [AppSnapshot],
}

impl<'a> Families<'a> {
    fn begin(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        self.line(format_args!("# TYPE {name} {kind}"));
        if !unit.is_empty() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {help}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }

    fn samples(&mut self, name: &str, of: impl Fn(&'a AppSnapshot) -> Vec<Sample>) {
        for app in self.all {
            for (more, number) in of(app) {
                let more: String =
                    more.iter().map(|(label, value)| format!(",{label}=\"{value}\"")).collect();
                self.line(format_args!("{name}{{{}{more}}} {number}", labels(app)));
            }
        }
    }

    fn histograms(&mut self, name: &str, help: &str, of: impl Fn(&'a AppSnapshot) -> &'a Histogram) {
        self.begin(name, "histogram", "seconds", help);
        for app in self.all {
            let (times, labels) = (of(app), labels(app));
            let mut below = 0;
            for (index, count) in times.counts.iter().enumerate() {
                below += count;
                let bound = BOUNDS.get(index).map_or_else(|| "+Inf".to_owned(), |bound| bound_text(*bound));
                self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
            }
            self.line(format_args!("{name}_count{{{labels}}} {below}"));
            self.line(format_args!(
                "{name}_sum{{{labels}}} {}.{:06}",
                times.sum / MILLION,
                times.sum % MILLION
            ));
        }
    }
}

const MILLION: u64 = 1_000_000;

fn labels(app: &AppSnapshot) -> String {
    format!("app=\"{}\",kind=\"{}\"", escape(&app.counts.name), app.counts.kind.name())
}

/// Microseconds as seconds in the form that OpenMetrics recommends: with a point, without more zeros than one.
fn bound_text(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / MILLION, micros % MILLION);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_recommended() {
        let texts: Vec<_> = [250, 1_000, 100_000, 1_000_000, 2_500_000, 60_000_000].map(bound_text).into();
        assert_eq!(texts, ["0.00025", "0.001", "0.1", "1.0", "2.5", "60.0"]);
    }

    #[test]
    fn values_of_labels_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
