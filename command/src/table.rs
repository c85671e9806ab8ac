// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status for people.

use gangway::{log::escape, supervise::control::Record};

use crate::servers::Server;

const HEAD: [&str; 8] = ["PID", "STATE", "GENERATION", "AGE", "REQUESTS", "RUNNING", "RSS", "PSS"];

/// An application is a line, its processes are a table below it.
pub(crate) fn of_servers(answers: &[(Server, Vec<Record>)]) -> String {
    let mut out = String::new();
    for (server, records) in answers {
        if answers.len() > 1 {
            out.push_str(&format!("server {}\n\n", escape(server.socket.to_string_lossy().as_bytes())));
        }
        let applications: Vec<_> = records.split(|record| record.kind == "application").skip(1).collect();
        let heads = records.iter().filter(|record| record.kind == "application");
        if applications.is_empty() {
            out.push_str("no applications\n");
        }
        for (application, processes) in heads.zip(applications) {
            out.push_str(&of_application(application, processes));
        }
    }
    out
}

fn of_application(application: &Record, rest: &[Record]) -> String {
    let text = |key| escape(application.text_of(key).unwrap_or_default().as_bytes());
    let number = |key| application.number_of(key).unwrap_or(0);
    let mut out = format!(
        "{}: {}, user {}, generation {}, {} waiting\n",
        text("name"),
        text("state"),
        text("user"),
        number("generation"),
        number("waiting")
    );
    if let Some(reason) = application.text_of("reason") {
        let since = application
            .number_of("failing_seconds")
            .map_or_else(String::new, |age| format!(" for {}", time(age)));
        out.push_str(&format!("  its requests have failed{since}: {}\n", escape(reason.as_bytes())));
    }
    let counted = [
        application.number_of("cgroup_memory_bytes").map(|bytes| format!("{} of memory", size(bytes))),
        application
            .number_of("cgroup_cpu_milliseconds")
            .map(|time| format!("{}.{:03} s of processor time", time / 1000, time % 1000)),
        application.number_of("cgroup_killed").map(|count| format!("{count} killed for want of memory")),
    ];
    let counted: Vec<String> = counted.into_iter().flatten().collect();
    if !counted.is_empty() {
        out.push_str(&format!("  its control group: {}\n", counted.join(", ")));
    }
    if let Some(failed) = application.number_of("failed_generation") {
        let ago = time(number("failed_seconds_ago"));
        out.push_str(&format!(
            "  generation {failed} could not be started, {ago} ago: {}\n",
            text("failed_reason")
        ));
    }
    let rows: Vec<_> = rest.iter().filter(|record| record.kind == "process").map(row).collect();
    if !rows.is_empty() {
        out.push_str(&columns(&rows));
    }
    out.push('\n');
    out
}

fn row(process: &Record) -> [String; 8] {
    let number = |key| process.number_of(key).map_or_else(|| "-".to_owned(), |number| number.to_string());
    let size = |key| process.number_of(key).map_or_else(|| "-".to_owned(), size);
    [
        number("pid"),
        escape(process.text_of("state").unwrap_or_default().as_bytes()),
        number("generation"),
        process.number_of("age_seconds").map_or_else(|| "-".to_owned(), time),
        number("requests"),
        number("running"),
        size("rss_bytes"),
        size("pss_bytes"),
    ]
}

fn columns(rows: &[[String; 8]]) -> String {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(HEAD.get(column).map(|head| head.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(widest).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from(" ");
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut out = line(&mut HEAD.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// 42s, 3m05s, 2h07m, 5d03h.
pub(crate) fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    format!("{:.1}M", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_people() {
        let application =
            Record::new("application").text("name", "blog").text("state", "restarting").text("user", "blog");
        let application = application.number("generation", 3).number("waiting", 2);
        let failed = application.number("failed_generation", 3).number("failed_seconds_ago", 65);
        let process =
            Record::new("process").number("pid", 1234).text("state", "ready").number("generation", 2);
        let process = process.number("age_seconds", 7500).number("requests", 10).number("running", 1);
        let records = vec![
            Record::new("server"),
            failed.text("failed_reason", "it ended\u{1b} with status 3"),
            process.number("rss_bytes", 30 << 20),
            Record::new("application").text("name", "wiki").text("state", "idle").text("user", "wiki"),
        ];
        let text = of_servers(&[(Server { socket: "/run/x".into() }, records)]);
        assert_eq!(
            text,
            "blog: restarting, user blog, generation 3, 2 waiting
  generation 3 could not be started, 1m05s ago: it ended\\x1b with status 3
  PID   STATE  GENERATION  AGE    REQUESTS  RUNNING  RSS    PSS
  1234  ready  2           2h05m  10        1        30.0M  -

wiki: idle, user wiki, generation 0, 0 waiting

"
        );
        assert_eq!([time(59), time(86_400 * 5 + 3 * 3600)], ["59s", "5d03h"]);
    }
}
