// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why something went wrong, for people.

use gangway::{log::escape, supervise::control::Record};

use crate::{servers::Server, table::time};

/// The last things that went wrong, the newest first; or, for a `word`, all that is known of those that it is about.
pub(crate) fn of_servers(answers: &[(Server, Vec<Record>)], word: Option<&str>) -> String {
    let mut found: Vec<&[Record]> = answers.iter().flat_map(|(_, records)| incidents(records)).collect();
    found.sort_by_key(|incident| number(incident.first(), "milliseconds_ago"));
    if found.is_empty() {
        let seen: String = answers.iter().flat_map(|(_, records)| records).map(seen).collect();
        return if seen.is_empty() && word.is_none() {
            "nothing has gone wrong lately\n".to_owned()
        } else {
            seen
        };
    }
    let text = |incident: &&[Record]| if word.is_some() { whole(incident) } else { brief(incident) };
    found.iter().map(text).collect()
}

/// Each incident with what is said of it.
fn incidents(records: &[Record]) -> impl Iterator<Item = &[Record]> {
    records
        .chunk_by(|_, next| next.kind != "incident")
        .filter(|found| found.first().is_some_and(|first| first.kind == "incident"))
}

/// A line, and one for each request that was lost.
fn brief(incident: &[Record]) -> String {
    let mut out = head(incident);
    for request in of_kind(incident, "request") {
        out.push_str(&format!("  {}\n", lost(request)));
    }
    out
}

fn whole(incident: &[Record]) -> String {
    let mut out = head(incident);
    let part = |out: &mut String, title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            out.push_str(&format!("  {title}:\n"));
            lines.iter().for_each(|line| out.push_str(&format!("    {line}\n")));
        }
    };
    part(&mut out, "requests that it had", of_kind(incident, "request").map(lost).collect());
    let text = |kind| of_kind(incident, kind).map(|record| said(record, "text")).collect();
    part(&mut out, "where the application was", text("stack"));
    part(&mut out, "its last lines", text("line"));
    part(&mut out, "what it did before", of_kind(incident, "event").map(event).collect());
    out.push('\n');
    out
}

fn head(incident: &[Record]) -> String {
    let Some(first) = incident.first() else { return String::new() };
    format!(
        "{}: process {}, generation {}, {} old, {}, {} ago\n",
        said(first, "application"),
        number(Some(first), "pid"),
        number(Some(first), "generation"),
        time(number(Some(first), "age_milliseconds") / 1000),
        said(first, "what"),
        time(number(Some(first), "milliseconds_ago") / 1000)
    )
}

fn lost(request: &Record) -> String {
    let so_long = seconds(number(Some(request), "milliseconds"));
    format!("{}  {}  for {so_long}", said(request, "id"), said(request, "line"))
}

fn event(event: &Record) -> String {
    let before = seconds(number(Some(event), "milliseconds_before"));
    let mut out = format!("{before} before: {}", said(event, "what"));
    if let Some(status) = event.number_of("status") {
        out.push_str(&format!(" with {status} after {}", seconds(number(Some(event), "milliseconds"))));
    }
    if event.text_of("line").is_some() {
        out.push_str(&format!("  {}  {}", said(event, "id"), said(event, "line")));
    }
    out
}

/// A request with which nothing is wrong.
fn seen(record: &Record) -> String {
    if record.kind != "seen" {
        return String::new();
    }
    let name = said(record, "application");
    let (pid, ago) = (number(Some(record), "pid"), seconds(number(Some(record), "milliseconds_ago")));
    let request = format!("{}  {}", said(record, "id"), said(record, "line"));
    match said(record, "what").as_str() {
        "running" => format!("{name}: process {pid} has it now, for {ago}\n  {request}\n"),
        what => {
            let (status, took) =
                (number(Some(record), "status"), seconds(number(Some(record), "milliseconds")));
            let status = if status > 0 { format!(" with {status}") } else { String::new() };
            format!(
                "{name}: process {pid} had it; it was {what}{status} after {took}, {ago} ago\n  {request}\n"
            )
        }
    }
}

fn of_kind<'r>(records: &'r [Record], kind: &'static str) -> impl Iterator<Item = &'r Record> {
    records.iter().filter(move |record| record.kind == kind)
}

fn said(record: &Record, key: &str) -> String {
    escape(record.text_of(key).unwrap_or_default().as_bytes())
}

fn number(record: Option<&Record>, key: &str) -> u64 {
    record.and_then(|record| record.number_of(key)).unwrap_or(0)
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> Server {
        Server { socket: name.into() }
    }

    fn incident(pid: u64, ago: u64) -> Vec<Record> {
        vec![
            Record::new("incident")
                .text("application", "blog")
                .number("pid", pid)
                .number("generation", 2)
                .number("milliseconds_ago", ago)
                .number("age_milliseconds", 61_000)
                .text("what", "was ended by SIGSEGV"),
            Record::new("request")
                .text("id", "ab12")
                .text("line", "GET /a\u{1b}")
                .number("milliseconds", 1234),
        ]
    }

    #[test]
    fn the_newest_comes_first_whichever_server_has_it() {
        let answers = [
            (server("/a"), [incident(1, 9000), incident(2, 3000)].concat()),
            (server("/b"), incident(3, 5000)),
        ];
        let text = of_servers(&answers, None);
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with("blog: ")).collect();
        assert_eq!(heads[0], "blog: process 2, generation 2, 1m01s old, was ended by SIGSEGV, 3s ago");
        assert!(heads[1].contains("process 3") && heads[2].contains("process 1"));
        assert_eq!(text.lines().nth(1), Some("  ab12  GET /a\\x1b  for 1.234 s"));
        assert_eq!(of_servers(&[(server("/a"), Vec::new())], None), "nothing has gone wrong lately\n");
    }

    #[test]
    fn all_that_is_known_is_shown_to_who_asks_for_it() {
        let mut records = incident(1, 0);
        records.push(
            Record::new("event").text("what", "the process began").number("milliseconds_before", 61_000),
        );
        records.push(
            Record::new("event")
                .text("what", "answered")
                .number("milliseconds_before", 10)
                .text("id", "cd34")
                .text("line", "GET /")
                .number("status", 200)
                .number("milliseconds", 5),
        );
        records.push(Record::new("stack").text("text", "File \"app.py\", line 3"));
        records.push(Record::new("line").text("text", "Fatal Python error"));
        assert_eq!(
            of_servers(&[(server("/a"), records)], Some("ab12")),
            "blog: process 1, generation 2, 1m01s old, was ended by SIGSEGV, 0s ago
  requests that it had:
    ab12  GET /a\\x1b  for 1.234 s
  where the application was:
    File \"app.py\", line 3
  its last lines:
    Fatal Python error
  what it did before:
    61.000 s before: the process began
    0.010 s before: answered with 200 after 0.005 s  cd34  GET /

"
        );
    }

    #[test]
    fn a_request_with_which_nothing_is_wrong_is_found_as_well() {
        let record = |what| {
            Record::new("seen")
                .text("application", "blog")
                .text("what", what)
                .text("id", "ab12")
                .text("line", "GET /")
                .number("pid", 7)
                .number("milliseconds_ago", 1500)
                .number("milliseconds", 20)
                .number("status", 404)
        };
        let text = |what| of_servers(&[(server("/a"), vec![record(what)])], Some("ab12"));
        assert_eq!(text("running"), "blog: process 7 has it now, for 1.500 s\n  ab12  GET /\n");
        assert_eq!(
            text("answered"),
            "blog: process 7 had it; it was answered with 404 after 0.020 s, 1.500 s ago\n  ab12  GET /\n"
        );
    }
}
