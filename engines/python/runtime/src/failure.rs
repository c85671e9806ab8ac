// SPDX-License-Identifier: MIT OR Apache-2.0
//! An application that could not be loaded: why, and which files have to change before it is tried again.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

/// How often the files are looked at, and how often requests are told in the log.
const INTERVAL: Duration = Duration::from_secs(1);

/// What identifies the content of a file without reading it; `None` for no file.
type Stamp = Option<(i64, i64, u64, u64)>;

#[derive(Debug)]
pub(crate) struct LoadFailure {
    /// In one line, with the cure.
    pub(crate) cause: String,
    /// The traceback, for debug=on.
    pub(crate) lines: Vec<String>,
    /// Modules to forget before the next attempt.
    pub(crate) imported: Vec<String>,
    files: Vec<(PathBuf, Stamp)>,
    /// A file was written while the attempt ran, so what it read is not known.
    unsure: bool,
    checked: Instant,
    logged: Option<Instant>,
}

/// What bootstrap.py finds out about a failed attempt.
#[derive(Debug, Default)]
pub(crate) struct Explained {
    pub(crate) lines: Vec<String>,
    pub(crate) files: Vec<OsString>,
    pub(crate) imported: Vec<String>,
}

impl LoadFailure {
    /// `begun` is when the attempt began.
    pub(crate) fn new(cause: String, explained: Explained, begun: SystemTime) -> Self {
        let Explained { lines, files, imported } = explained;
        let unsure = files.iter().any(|path| is_written_since(path, begun));
        let files = files.into_iter().map(PathBuf::from).map(|path| (path.clone(), stamp(&path))).collect();
        Self { cause, lines, imported, files, unsure, checked: Instant::now(), logged: None }
    }

    /// Whether a file has changed since the failure. Looks at most once in a while.
    pub(crate) fn is_outdated(&mut self, now: Instant) -> bool {
        if now.duration_since(self.checked) < INTERVAL {
            return false;
        }
        self.checked = now;
        std::mem::take(&mut self.unsure) || self.files.iter().any(|(path, then)| stamp(path) != *then)
    }

    /// Whether a request may be told in the log again.
    pub(crate) fn may_log(&mut self, now: Instant) -> bool {
        let due = self.logged.is_none_or(|logged| now.duration_since(logged) >= INTERVAL);
        if due {
            self.logged = Some(now);
        }
        due
    }
}

/// A folder changes by the attempt itself, which writes bytecode into it.
fn is_written_since(path: &OsString, begun: SystemTime) -> bool {
    // File times are as coarse as the kernel's clock tick.
    let begun = begun - Duration::from_millis(10);
    fs::metadata(path).is_ok_and(|metadata| {
        metadata.is_file() && metadata.modified().is_ok_and(|modified| modified >= begun)
    })
}

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()))
}
