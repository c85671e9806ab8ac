// SPDX-License-Identifier: MIT OR Apache-2.0
//! FCGI_STDERR: lines for the error log.

use gangway::{
    error::BACKEND_STDERR,
    log::{Level, escape, leveled},
    report_at,
};

use crate::raw::Request;

/// How long a line may get before it is written in parts.
const LINE: usize = 1500;
/// How much of them is kept for who asks what was said.
const KEPT: usize = 8 * 1024;

/// The lines of one response.
pub(super) struct Stderr {
    level: Level,
    line: Vec<u8>,
    said: Vec<u8>,
    /// They are those of `gangway-host`, which says the level of each. They are written as those of an application in this process.
    is_host: bool,
}

impl Stderr {
    pub(super) fn new(level: Level) -> Self {
        Self { level, line: Vec::new(), said: Vec::new(), is_host: false }
    }

    /// The lines of an application in a process of its own.
    pub(super) fn of_host() -> Self {
        Self { is_host: true, ..Self::new(Level::Error) }
    }

    /// Writes the lines that are whole, and keeps the start of the next one.
    pub(super) fn add(&mut self, request: Request, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.line.extend_from_slice(line);
            self.finish(request);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.line.extend_from_slice(bytes);
        while self.line.len() > LINE {
            let rest = self.line.split_off(LINE);
            self.finish(request);
            self.line = rest;
        }
    }

    /// The beginning of what was said.
    pub(super) fn said(&self) -> &[u8] {
        &self.said
    }

    /// Writes what is there as a line.
    pub(super) fn finish(&mut self, request: Request) {
        let line = self.line.trim_ascii_end();
        // The rest of a line that comes in parts has the level of its beginning.
        let (level, line) = if self.is_host { leveled(line) } else { (None, line) };
        self.level = level.unwrap_or(self.level);
        if !line.is_empty() && self.said.len() + line.len() < KEPT {
            self.said.extend_from_slice(line);
            self.said.push(b'\n');
        }
        if self.is_host && !line.is_empty() {
            report_at!(request, self.level, None, "{}", escape(line));
        } else if !line.is_empty() {
            report_at!(request, self.level, BACKEND_STDERR, "FastCGI stderr: {}", escape(line));
        }
        self.line.clear();
    }
}
