// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines in the server's own log, from a process that is none of the server's.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
};

use crate::{
    error::{Code, SUPERVISOR},
    log::{Level, escape},
    sys::{explain, local_time},
};

/// How the lines of a server's log begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// `2026/11/28 22:00:00 [error] 12#12: `
    Slashes,
    /// `[Sat Nov 28 22:00:00 2026] [gangway:error] [pid 12] `
    Brackets,
}

pub(super) struct Log {
    stamp: Stamp,
    file: Option<File>,
}

impl Log {
    pub(super) fn new(stamp: Stamp) -> Self {
        Self { stamp, file: None }
    }

    /// Another file from now on: logs are rotated, and the server opens them anew.
    pub(super) fn open(&mut self, file: Option<OwnedFd>) {
        if let Some(file) = file {
            self.file = Some(file.into());
        }
    }

    pub(super) fn line(&mut self, level: Level, code: Code, text: fmt::Arguments<'_>) {
        let Some(file) = &mut self.file else { return };
        let line = format!("{}{code} {}\n", self.stamp.text(level), escape(text.to_string().as_bytes()));
        // Who cannot write to the log has nobody to tell it to.
        let _ = file.write_all(line.as_bytes());
    }

    pub(super) fn control_failed(&mut self, error: &io::Error) {
        let text = format_args!(
            "the control socket cannot be made, so that \"gangway\" does not reach this server: {error}"
        );
        self.line(Level::Error, SUPERVISOR, text);
    }

    /// Descriptors that came with a message had no room.
    pub(super) fn message_lost(&mut self) {
        let why = explain(&io::Error::from_raw_os_error(libc::EMFILE));
        let text = format_args!("a part of what gangway-spawn says is lost, {why}; then reload the server");
        self.line(Level::Error, SUPERVISOR, text);
    }

    pub(super) fn memory_failed(&mut self, name: &str, error: &io::Error) {
        let text = format_args!(
            "the application \"{name}\" has no processes: its shared memory cannot be used: {error}"
        );
        self.line(Level::Error, SUPERVISOR, text);
    }
}

impl Stamp {
    fn text(self, level: Level) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let [year, month, day, weekday, hour, minute, second] = local_time();
        let word = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Notice => "notice",
            Level::Info => "info",
            Level::Debug | Level::Further => "debug",
        };
        let name = |names: &[&'static str], number: i32| {
            usize::try_from(number).ok().and_then(|number| names.get(number).copied()).unwrap_or("?")
        };
        let pid = std::process::id();
        match self {
            Self::Slashes => format!(
                "{year:04}/{:02}/{day:02} {hour:02}:{minute:02}:{second:02} [{word}] {pid}#{pid}: ",
                month + 1
            ),
            Self::Brackets => format!(
                "[{} {} {day:02} {hour:02}:{minute:02}:{second:02} {year}] [gangway:{word}] [pid {pid}] ",
                name(&DAYS, weekday),
                name(&MONTHS, month)
            ),
        }
    }
}
