// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines for standard error.
//!
//! A pipe or a socket leads to somebody who knows the time, so a line is its level and its text; for the journal of systemd the
//! level is a number in front, as sd-daemon(3) has it. A file or a terminal gets the time as well, in nginx's form.

use std::{env, io::Write, process};

use gangway::log::{Level, Sink};

use crate::sys::{self, Output};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Journal,
    Piped,
    Dated,
}

/// Where standard error leads, as far as that can be told.
pub(crate) struct Errors(Form);

impl Errors {
    pub(crate) fn find() -> Self {
        let (output, (device, inode)) = Output::of_errors();
        let journal = env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{device}:{inode}"));
        Self(match output {
            _ if journal => Form::Journal,
            Output::Piped => Form::Piped,
            Output::Plain => Form::Dated,
        })
    }
}

impl Sink for Errors {
    fn write(&self, level: Level, line: &str) {
        let line = line_of(self.0, level, line, sys::local_time);
        // Nobody is left who could be told.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line_of(form: Form, level: Level, line: &str, time: impl FnOnce() -> [i32; 6]) -> String {
    let (name, number) = match level {
        Level::Error => ("error", 3),
        // It goes on with the line before it.
        Level::Further => ("error", 3),
        Level::Warn => ("warn", 4),
        Level::Notice => ("notice", 5),
        Level::Info => ("info", 6),
        Level::Debug => ("debug", 7),
    };
    match form {
        Form::Journal => format!("<{number}>{line}\n"),
        Form::Piped => format!("[{name}] {line}\n"),
        Form::Dated => {
            let [year, month, day, hour, minute, second] = time();
            let pid = process::id();
            format!("{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} [{name}] {pid}#0: {line}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_nobody_else_does() {
        let line = |form| line_of(form, Level::Warn, "text", || [2026, 1, 2, 3, 4, 5]);
        assert_eq!(line(Form::Journal), "<4>text\n");
        assert_eq!(line(Form::Piped), "[warn] text\n");
        assert_eq!(line(Form::Dated), format!("2026/01/02 03:04:05 [warn] {}#0: text\n", process::id()));
    }
}
