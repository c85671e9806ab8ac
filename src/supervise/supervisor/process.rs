// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process of an application as the supervisor sees it, and the lines that it writes.

use std::{
    collections::VecDeque,
    fs::File,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::PathBuf,
    time::Duration,
};

use super::{log::Log, probe::Probe, warmup::Warmup, watch};
use crate::{
    error::PROCESS_OUTPUT,
    log::{Level, escape},
    run::Lines,
    supervise::{LOST, UNWELL},
    sys::monotonic,
};

/// Lines of a process in a second; those above are counted.
const LINES: u32 = 100;
/// Files that a process names in lines that come together.
const FILES: usize = 2000;
/// Lines that are kept for who asks why it has ended, and how much of each.
const LAST_LINES: usize = 30;
const LAST_LENGTH: usize = 400;

#[derive(Default)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// What a template says, or why a process is not to take requests.
    pub(super) reason: Option<String>,
    pub(super) output: Option<File>,
    pub(super) lines: Lines,
    pub(super) last_lines: VecDeque<String>,
    second: Duration,
    passed: u32,
    held: u64,
    pub(super) probe: Option<Probe>,
    /// Its request before all others.
    pub(super) warmup: Option<Warmup>,
    /// Those that it has just said to be its own.
    pub(super) files: Vec<PathBuf>,
    /// It has said that a thread of it is lost.
    pub(super) is_lost: bool,
    /// Why the application cannot run in it, as it says.
    pub(super) unwell: Option<String>,
    /// When it was asked for.
    pub(super) began: Duration,
    /// Since when nobody has listened for it.
    pub(super) gone: Option<Duration>,
}

impl Process {
    pub(super) fn found(pid: u32, output: Option<OwnedFd>) -> Self {
        Self { pid, output: output.map(Into::into), began: monotonic(), ..Self::default() }
    }

    pub(super) fn writing_to(output: OwnedFd) -> Self {
        Self { output: Some(output.into()), began: monotonic(), ..Self::default() }
    }

    /// Where it writes to, as long as it does. One that writes before the keeper has said its number waits for that: lines name
    /// who wrote them.
    pub(super) fn output(&self) -> Option<RawFd> {
        self.output.as_ref().filter(|_| self.pid != 0).map(AsRawFd::as_raw_fd)
    }

    /// What else is waited for.
    pub(super) fn wanted(&self) -> Option<(RawFd, i16)> {
        let probe = self.probe.as_ref().and_then(Probe::descriptor).map(|fd| (fd, libc::POLLIN));
        probe.or_else(|| self.warmup.as_ref().map(Warmup::wanted))
    }

    /// The last line of its output, which has no end.
    pub(super) fn write_rest(&mut self, name: &str, log: &mut Log) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(|line| self.write(name, line, log));
    }

    /// A line of its output.
    pub(super) fn write(&mut self, name: &str, line: &[u8], log: &mut Log) {
        if let Some(file) = watch::reported(line) {
            if self.files.len() < FILES {
                self.files.push(file);
            }
            return;
        }
        if line == LOST {
            self.is_lost = true;
            return;
        }
        if let Some(reason) = line.strip_prefix(UNWELL) {
            self.unwell = Some(escape(reason.trim_ascii())).filter(|reason| !reason.is_empty());
            return;
        }
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(escape(line.get(..LAST_LENGTH).unwrap_or(line)));
        let now = monotonic();
        if now.saturating_sub(self.second) >= Duration::from_secs(1) {
            (self.second, self.passed) = (now, 0);
            let held = std::mem::take(&mut self.held);
            if held > 0 {
                let text = format_args!("\"{name}\" ({}): {held} lines more were left out", self.pid);
                log.line(Level::Error, PROCESS_OUTPUT, text);
            }
        }
        if self.passed == LINES {
            self.held += 1;
            return;
        }
        self.passed += 1;
        let (level, line) = level_of(line);
        log.line(level, PROCESS_OUTPUT, format_args!("\"{name}\" ({}): {}", self.pid, escape(line)));
    }
}

/// A process as people name it. One that was asked for and has not come has no number.
pub(super) fn called(pid: u32) -> String {
    if pid == 0 { "a process".to_owned() } else { format!("process {pid}") }
}

/// The level that `gangway-host` writes before its lines.
fn level_of(line: &[u8]) -> (Level, &[u8]) {
    let levels = [
        ("[warn] ", Level::Warn),
        ("[notice] ", Level::Notice),
        ("[info] ", Level::Info),
        ("[error] ", Level::Error),
    ];
    let known =
        levels.into_iter().find_map(|(word, level)| Some((level, line.strip_prefix(word.as_bytes())?)));
    known.unwrap_or((Level::Error, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawner;

    #[test]
    fn nobody_reads_what_a_process_writes_before_its_number_is_known() {
        let (output, _writer) = spawner::pipe_from().unwrap();
        let mut process = Process::writing_to(output);
        assert_eq!(process.output(), None);
        process.pid = 4711;
        assert!(process.output().is_some());
        assert_eq!([0, 4711].map(called), ["a process", "process 4711"]);
    }
}
