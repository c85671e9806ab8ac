// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens now: applications and their processes, with what has changed since the look before.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use gangway::{log::escape, supervise::control::Record};

use crate::{
    servers::Server,
    table::{size, time},
};

const HEAD: [&str; 11] =
    ["NAME", "STATE", "PID", "AGE", "BUSY", "QUEUE", "REQ/S", "CPU%", "RSS", "PSS", "LONGEST REQUEST"];

/// What was counted until a moment.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Requests and milliseconds of processor time, by server and process.
    processes: HashMap<(PathBuf, u64), (u64, u64)>,
}

/// What has been done since then.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    requests: u64,
    cpu: u64,
}

impl Counted {
    pub(crate) fn of(answers: &[(Server, Vec<Record>)]) -> Self {
        let mut processes = HashMap::new();
        for (server, record) in each(answers).filter(|(_, record)| record.kind == "process") {
            let key = (server.socket.clone(), number(record, "pid"));
            processes.insert(key, (number(record, "requests"), number(record, "cpu_milliseconds")));
        }
        Self { processes }
    }

    /// What a process has done since; one that was not there has done all of it since.
    fn since(&self, server: &Server, process: &Record) -> Done {
        let key = (server.socket.clone(), number(process, "pid"));
        let (requests, cpu) = self.processes.get(&key).copied().unwrap_or_default();
        Done {
            requests: number(process, "requests").saturating_sub(requests),
            cpu: number(process, "cpu_milliseconds").saturating_sub(cpu),
        }
    }
}

fn each(answers: &[(Server, Vec<Record>)]) -> impl Iterator<Item = (&Server, &Record)> {
    answers.iter().flat_map(|(server, records)| records.iter().map(move |record| (server, record)))
}

/// Lines: a summary, the head of the table, applications with their processes below them, the busiest first.
pub(crate) fn lines(before: &Counted, answers: &[(Server, Vec<Record>)], passed: Duration) -> Vec<String> {
    let passed = passed.as_secs_f64().max(0.001);
    let mut applications = Vec::new();
    for (server, records) in answers {
        for part in records.chunk_by(|_, next| next.kind != "application") {
            let Some((application, rest)) =
                part.split_first().filter(|(first, _)| first.kind == "application")
            else {
                continue;
            };
            applications.push(Application::of(before, server, application, rest));
        }
    }
    applications.sort_by(|one, other| {
        let by_load = (other.done.requests, other.busy).cmp(&(one.done.requests, one.busy));
        by_load.then_with(|| one.name.cmp(&other.name))
    });
    let sum = |part: fn(&Application<'_>) -> u64| applications.iter().map(part).sum::<u64>();
    let summary = format!(
        "{} applications, {} processes, {} requests running, {} waiting, {:.1} requests/s, {:.0}% CPU",
        applications.len(),
        sum(|application| application.processes.len() as u64),
        sum(|application| application.busy),
        sum(|application| number(application.record, "waiting")),
        sum(|application| application.done.requests) as f64 / passed,
        sum(|application| application.done.cpu) as f64 / passed / 10.0,
    );
    let rows: Vec<_> = applications.iter().flat_map(|application| application.rows(passed)).collect();
    [summary, String::new()].into_iter().chain(columns(&rows)).collect()
}

struct Application<'r> {
    name: String,
    record: &'r Record,
    processes: Vec<(&'r Record, Done)>,
    busy: u64,
    done: Done,
}

impl<'r> Application<'r> {
    fn of(before: &Counted, server: &Server, record: &'r Record, rest: &'r [Record]) -> Self {
        let processes = rest.iter().filter(|record| record.kind == "process");
        let processes: Vec<_> = processes.map(|process| (process, before.since(server, process))).collect();
        let sum = |part: fn(&Done) -> u64| processes.iter().map(|(_, done)| part(done)).sum();
        Self {
            name: said(record, "name"),
            record,
            busy: processes.iter().map(|(process, _)| number(process, "running")).sum(),
            done: Done { requests: sum(|done| done.requests), cpu: sum(|done| done.cpu) },
            processes,
        }
    }

    /// Its own row, and one of each process.
    fn rows(&self, passed: f64) -> Vec<[String; 11]> {
        let threads = number(self.record, "threads") * self.processes.len() as u64;
        let memory = |key: &str| {
            let all: Vec<u64> =
                self.processes.iter().filter_map(|(process, _)| process.number_of(key)).collect();
            if all.is_empty() { "-".to_owned() } else { size(all.iter().sum()) }
        };
        let mut rows = vec![[
            self.name.clone(),
            said(self.record, "state"),
            "-".to_owned(),
            "-".to_owned(),
            format!("{}/{threads}", self.busy),
            number(self.record, "waiting").to_string(),
            rate(self.done, passed),
            share(self.done, passed),
            memory("rss_bytes"),
            memory("pss_bytes"),
            String::new(),
        ]];
        rows.extend(self.processes.iter().map(|(process, done)| row(process, *done, passed)));
        rows
    }
}

fn row(process: &Record, done: Done, passed: f64) -> [String; 11] {
    let optional = |key, text: fn(u64) -> String| process.number_of(key).map_or_else(|| "-".to_owned(), text);
    let request = match (process.text_of("request"), process.number_of("longest_milliseconds")) {
        (Some(request), Some(age)) => format!("{:.1}s {}", age as f64 / 1000.0, escape(request.as_bytes())),
        (None, Some(age)) => format!("{:.1}s", age as f64 / 1000.0),
        _ => String::new(),
    };
    [
        String::new(),
        said(process, "state"),
        number(process, "pid").to_string(),
        optional("age_seconds", time),
        number(process, "running").to_string(),
        String::new(),
        rate(done, passed),
        share(done, passed),
        optional("rss_bytes", size),
        optional("pss_bytes", size),
        request,
    ]
}

fn rate(done: Done, passed: f64) -> String {
    format!("{:.1}", done.requests as f64 / passed)
}

fn share(done: Done, passed: f64) -> String {
    format!("{:.0}", done.cpu as f64 / passed / 10.0)
}

fn columns(rows: &[[String; 11]]) -> Vec<String> {
    let head = HEAD.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let widest =
        |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| widest(column).unwrap_or(0)).collect();
    let line = |row: &[String; 11]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            // Numbers end below each other.
            2..=9 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

fn said(record: &Record, key: &str) -> String {
    escape(record.text_of(key).unwrap_or_default().as_bytes())
}

fn number(record: &Record, key: &str) -> u64 {
    record.number_of(key).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u64, requests: u64, cpu: u64) -> Record {
        Record::new("process")
            .number("pid", pid)
            .text("state", "ready")
            .number("requests", requests)
            .number("running", 1)
            .number("cpu_milliseconds", cpu)
    }

    fn answers(records: Vec<Record>) -> Vec<(Server, Vec<Record>)> {
        let application = |name| {
            Record::new("application").text("name", name).text("state", "serving").number("threads", 8)
        };
        let mut all = vec![Record::new("server"), application("quiet").number("waiting", 0)];
        all.push(application("blog").number("waiting", 3));
        all.extend(records);
        vec![(Server { socket: "/run/x".into() }, all)]
    }

    #[test]
    fn what_was_done_since_is_divided_by_the_time() {
        let before = Counted::of(&answers(vec![process(1, 100, 500), process(2, 50, 0)]));
        let one = process(1, 140, 1500).number("longest_milliseconds", 2340).text("request", "GET /a\u{1b}");
        // Process 2 has gone, and another one has come.
        let now = answers(vec![
            one.number("age_seconds", 65).number("rss_bytes", 30 << 20),
            process(3, 10, 200).number("rss_bytes", 10 << 20),
        ]);
        assert_eq!(
            lines(&before, &now, Duration::from_secs(2)),
            [
                "2 applications, 2 processes, 2 requests running, 3 waiting, 25.0 requests/s, 60% CPU",
                "",
                "NAME   STATE    PID    AGE  BUSY  QUEUE  REQ/S  CPU%    RSS  PSS  LONGEST REQUEST",
                "blog   serving    -      -  2/16      3   25.0    60  40.0M    -",
                "       ready      1  1m05s     1          20.0    50  30.0M    -  2.3s GET /a\\x1b",
                "       ready      3      -     1           5.0    10  10.0M    -",
                "quiet  serving    -      -   0/0      0    0.0     0      -    -",
            ]
        );
    }
}
