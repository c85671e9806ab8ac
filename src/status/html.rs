// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status for people: one page without scripts or anything that is loaded, for dark and light screens, wide and narrow ones.

use std::{fmt::Write, time::Duration};

use super::{
    block::{AppKind, LifeReport},
    histogram::{BOUNDS, Histogram},
    lane::Incident,
    reason::{ExitReason, RestartReason},
    snapshot::{AppProcess, AppSnapshot, ServerSnapshot},
};

const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn html(status: &ServerSnapshot) -> String {
    let mut out = Page(String::with_capacity(4096 + 4096 * status.applications.len()));
    out.put(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Gangway on {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escape(&status.server)
    ));
    head(&mut out, status);
    if status.applications.is_empty() {
        out.put(format_args!("<p class=\"none\">This configuration has no application.</p>\n"));
    }
    out.put(format_args!("<main>\n"));
    for app in &status.applications {
        application(&mut out, app, status.now);
    }
    out.put(format_args!("</main>\n</body>\n</html>\n"));
    out.0
}

struct Page(String);

impl Page {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(text);
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.put(format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
    }

    /// A number that is a cause for concern.
    fn concern(&mut self, name: &str, number: u64) {
        if number > 0 {
            self.put(format_args!("<div class=\"bad\"><dt>{name}</dt><dd>{}</dd></div>\n", grouped(number)));
        }
    }
}

fn head(out: &mut Page, status: &ServerSnapshot) {
    let sum = |of: fn(&AppSnapshot) -> u64| status.applications.iter().map(of).sum::<u64>();
    let up = Duration::from_secs(status.now.saturating_sub(status.started));
    out.put(format_args!(
        "<header>\n<h1>Gangway</h1>\n<p>{} in {}, up {}, {} configuration{}\
         <span class=\"forms\"><a href=\"?json\">JSON</a> <a href=\"?metrics\">metrics</a></span></p>\n<dl class=\"facts\">\n",
        env!("CARGO_PKG_VERSION"),
        escape(&status.server),
        span(up),
        status.configurations,
        if status.configurations == 1 { "" } else { "s" },
    ));
    out.fact("requests", &grouped(sum(|app| app.counts.figures.requests())));
    out.fact("running", &grouped(sum(|app| app.counts.figures.running)));
    out.fact("waiting", &grouped(sum(|app| app.counts.figures.waiting)));
    out.concern("5xx", sum(|app| app.counts.figures.failures()));
    out.put(format_args!("</dl>\n</header>\n"));
}

fn application(out: &mut Page, app: &AppSnapshot, now: u64) {
    let (counts, state) = (&app.counts, app.state());
    let look = match state {
        "serving" => "good",
        "failing" => "bad",
        "idle" | "stopped" | "leaving" => "calm",
        _ => "busy",
    };
    let generation = match counts.report.generation {
        0 => String::new(),
        number => format!(", generation {number}"),
    };
    out.put(format_args!(
        "<section>\n<h2>{}</h2>\n<p class=\"kind\"><span class=\"state {look}\">{state}</span> {}{generation}</p>\n",
        escape(&counts.name),
        kind(counts.kind)
    ));
    if let Some(failed) = app.failed() {
        out.put(format_args!(
            "<p class=\"failed\">Generation {} could not be started {} ago; an older one serves. {}</p>\n",
            failed.generation,
            span(Duration::from_secs(now.saturating_sub(failed.at))),
            escape(&failed.reason)
        ));
    }
    if let Some(unwell) = app.unwell() {
        out.put(format_args!(
            "<p class=\"failed\">It has been failing for {}. {}</p>\n",
            span(unwell.age),
            escape(&unwell.reason)
        ));
    }
    load(out, app);
    facts(out, app);
    times(out, "Time of the application", &counts.figures.runs);
    if counts.kind != AppKind::Upstream {
        times(out, "Time in the queue", &counts.figures.waits);
    }
    processes(out, &app.processes);
    out.put(format_args!("</section>\n"));
}

fn kind(kind: AppKind) -> &'static str {
    match kind {
        AppKind::InProcess => "in the server's processes",
        AppKind::Managed => "in processes of its own",
        AppKind::Cgi => "a program for each request",
        AppKind::Upstream => "a backend elsewhere",
    }
}

/// How much of its places and of its queue is taken.
fn load(out: &mut Page, app: &AppSnapshot) {
    let figures = &app.counts.figures;
    let Some(places) = app.places().filter(|places| *places > 0) else { return };
    let part = |number: u64, of: u64| (number.min(of) * 100).checked_div(of).unwrap_or(0);
    out.put(format_args!(
        "<div class=\"load\"><div class=\"bar\"><i style=\"width:{}%\"></i></div><span>{} of {} at work</span></div>\n",
        part(figures.running, places),
        figures.running,
        places
    ));
    if figures.waiting > 0 {
        out.put(format_args!(
            "<div class=\"load wait\"><div class=\"bar\"><i style=\"width:{}%\"></i></div><span>{} of {} in the queue</span></div>\n",
            part(figures.waiting, app.counts.room),
            figures.waiting,
            app.counts.room
        ));
    }
}

fn facts(out: &mut Page, app: &AppSnapshot) {
    let (figures, report) = (&app.counts.figures, &app.counts.report);
    out.put(format_args!("<dl class=\"facts\">\n"));
    out.fact("requests", &grouped(figures.requests()));
    if app.counts.kind != AppKind::Upstream {
        out.fact("waiting", &format!("{} <small>highest {}</small>", figures.waiting, figures.highest));
    }
    let (kept, fresh) = (figures.incidents(Incident::Kept), figures.incidents(Incident::Fresh));
    if kept + fresh > 0 {
        out.fact("connections kept", &format!("{} <small>new {}</small>", grouped(kept), grouped(fresh)));
    }
    let begun = begun(report);
    if report.restarts > 0 || !begun.is_empty() {
        out.fact("restarts", &format!("{} <small>{begun}</small>", grouped(report.restarts)));
    }
    if let Some(bytes) = app.pss() {
        out.fact("memory", &memory(bytes));
    }
    out.concern("5xx", figures.failures());
    for (name, incident) in [
        ("504 while it ran", Incident::RunTimeout),
        ("504 in the queue", Incident::QueueTimeout),
        ("503 queue full", Incident::QueueFull),
        ("503 no process", Incident::NoProcess),
        ("replayed", Incident::Replay),
    ] {
        out.concern(name, figures.incidents(incident));
    }
    out.concern("failed restarts", report.failed_restarts);
    for reason in ExitReason::ALL {
        let (name, count) = (format!("ended: {}", reason.name().replace('_', " ")), report.exits(reason));
        match count {
            0 => {}
            count if reason.is_wanted() => out.fact(&name, &grouped(count)),
            count => out.concern(&name, count),
        }
    }
    out.put(format_args!("</dl>\n"));
}

/// What new generations began for, in words.
fn begun(report: &LifeReport) -> String {
    let seen = |reason: RestartReason| Some((reason, report.begun(reason))).filter(|(_, count)| *count > 0);
    let words = RestartReason::ALL.into_iter().filter_map(seen);
    let words =
        words.map(|(reason, count)| format!("{} {}", reason.name().replace('_', " "), grouped(count)));
    words.collect::<Vec<_>>().join(", ")
}

/// A histogram: a bar for each bucket, with half and 99 of a hundred in words.
fn times(out: &mut Page, title: &str, times: &Histogram) {
    let (Some(half), Some(most)) = (times.percentile(50), times.percentile(99)) else { return };
    let highest = times.counts.iter().copied().max().unwrap_or(1).max(1);
    let (half, most) = (short(half), short(most));
    out.put(format_args!(
        "<figure>\n<figcaption>{title} <b>{half}</b> half, <b>{most}</b> 99\u{a0}%</figcaption>\n\
         <svg viewBox=\"0 0 180 40\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{title}: half within {half}, 99 % within {most}\">\n"
    ));
    for (index, count) in times.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // A bar that stands for something is seen.
        let height = (count * 38 / highest).max(1) + 1;
        let bound = BOUNDS.get(index).map_or_else(
            || format!("more than {}", short(Duration::from_micros(BOUNDS[BOUNDS.len() - 1]))),
            |bound| format!("up to {}", short(Duration::from_micros(*bound))),
        );
        out.put(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"9\" height=\"{height}\"><title>{bound}: {}</title></rect>\n",
            index * 10,
            40 - height,
            grouped(*count)
        ));
    }
    out.put(format_args!("</svg>\n</figure>\n"));
}

fn processes(out: &mut Page, processes: &[AppProcess]) {
    if processes.is_empty() {
        return;
    }
    out.put(format_args!(
        "<div class=\"wide\"><table>\n<thead><tr><th>process</th><th>state</th><th>age</th><th>requests</th><th>running</th><th>memory</th></tr></thead>\n<tbody>\n"
    ));
    for process in processes {
        let line = process.request.as_ref().map(|line| format!(" {}", escape(line))).unwrap_or_default();
        let longest = process.longest.map(|time| format!(" <small>for {}{line}</small>", short(time)));
        let longest = longest.unwrap_or_default();
        let bytes = process.pss.map_or_else(
            || process.rss.map(|rss| format!("{} <small>resident</small>", memory(rss))),
            |pss| Some(memory(pss)),
        );
        out.put(format_args!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}{longest}</td><td>{}</td></tr>\n",
            process.pid,
            process.state,
            process.age.map(span).unwrap_or_default(),
            grouped(process.requests),
            process.running,
            bytes.unwrap_or_default()
        ));
    }
    out.put(format_args!("</tbody>\n</table></div>\n"));
}

/// A number in groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // A thin space that breaks no line.
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A time of a request.
fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros} \u{b5}s"),
        micros @ 1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros @ 10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// An age.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn memory(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_in_groups() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        let shorts = [80, 1_500, 12_345, 2_500_000].map(|micros| short(Duration::from_micros(micros)));
        assert_eq!(shorts, ["80 \u{b5}s", "1.5 ms", "12 ms", "2.5 s"]);
        let spans = [5, 130, 9_000, 900_000].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["5 s", "2 min", "2 h", "10 days"]);
    }

    #[test]
    fn nothing_of_a_name_becomes_markup() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
