// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of an application: when they change, its processes are replaced.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    super::{
        super::{message::AppFiles, plan::Event},
        log::Log,
        watch::Watch,
    },
    CommandQueue, Supervised,
};
use crate::{
    error::RESTARTED,
    log::{Level, escape},
    status::RestartReason,
};

/// The most that is remembered of an application, in bytes.
const MOST_REMEMBERED: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Watches {
    /// What it is made of.
    code: Watch,
    /// What its processes have named.
    reported: Watch,
    /// Whether that is looked at without a reload of the server.
    always: bool,
    /// A file that is there to be touched.
    restart: Option<Watch>,
}

impl Watches {
    pub(super) fn new(files: &AppFiles) -> Self {
        Self {
            code: Watch::new(files.code.clone()),
            reported: Watch::of_reported(),
            always: files.always,
            restart: files.restart.clone().map(|file| Watch::new(vec![file])),
        }
    }

    /// The same for other words. What processes that run have named stays.
    pub(super) fn renew(&mut self, files: &AppFiles) {
        let reported = std::mem::take(&mut self.reported);
        *self = Self { reported, ..Self::new(files) };
    }

    /// Leaves what counts for a supervisor that takes the place of this one.
    fn remember(&mut self, path: &Path) {
        if !self.all().any(|(_, watch)| watch.is_new()) {
            return;
        }
        let mut text = Vec::new();
        self.all().for_each(|(kind, watch)| watch.remember(kind, &mut text));
        // One that is ended in the middle leaves the old one. Who cannot write forgets, as before.
        let new = path.with_extension("new");
        if text.len() <= MOST_REMEMBERED && fs::write(&new, text).is_ok() {
            let _ = fs::rename(&new, path);
        }
    }

    /// Takes what the one before has left, of which processes still run.
    fn recall(&mut self, path: &Path) {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MOST_REMEMBERED as u64).read_to_end(&mut text));
        if read.is_ok() {
            self.all().for_each(|(kind, watch)| watch.recall(kind, &text));
        }
    }

    /// All of them, with a letter for each.
    fn all(&mut self) -> impl Iterator<Item = (char, &mut Watch)> {
        let own = [('c', &mut self.code), ('r', &mut self.reported)];
        own.into_iter().chain(self.restart.iter_mut().map(|watch| ('f', watch)))
    }

    /// What has changed, when the server is reloaded.
    pub(super) fn at_reload(&mut self) -> Option<(PathBuf, RestartReason)> {
        let changed = self.touched().or_else(|| {
            let file = self.code.look_now().or_else(|| self.reported.look_now());
            file.map(|file| (file.to_owned(), RestartReason::ServerReload))
        });
        if changed.is_some() {
            self.forget();
        }
        changed
    }

    fn look(&mut self) -> Option<(PathBuf, RestartReason)> {
        let touched = self.touched();
        if touched.is_some() {
            // Who starts now starts with what is there.
            self.code.forget();
        }
        let code = || {
            let file = self.code.look().or_else(|| self.reported.look());
            file.map(|file| (file.to_owned(), RestartReason::Files))
        };
        let changed = touched.or_else(|| self.always.then(code).flatten());
        if changed.is_some() {
            // Those of before may be what an attempt fails for.
            self.reported.forget();
        }
        changed
    }

    /// The file that is there for that, if somebody has touched it.
    fn touched(&mut self) -> Option<(PathBuf, RestartReason)> {
        let file = self.restart.as_mut().and_then(Watch::look_now);
        file.map(|file| (file.to_owned(), RestartReason::RestartFile))
    }

    /// A process has named a file.
    pub(super) fn report(&mut self, file: PathBuf) {
        self.reported.add(file);
    }

    /// All are replaced for another reason.
    pub(super) fn forget(&mut self) {
        self.reported.forget();
        self.code.forget();
    }
}

impl Supervised {
    /// Whether there are files to be looked at from time to time.
    pub(in super::super) fn is_watched(&self) -> bool {
        (self.watches.always || self.watches.restart.is_some()) && !self.plan.is_retired()
    }

    /// Looks at them.
    pub(in super::super) fn look_at_files(&mut self, commands: &mut CommandQueue, log: &mut Log) {
        if let Some((file, reason)) = self.is_watched().then(|| self.watches.look()).flatten() {
            self.say_changed(&file, log);
            self.happens(Event::Restart(reason), commands, log);
        }
        self.remember_files();
    }

    /// Has the next supervisor know the files, should this one be killed.
    pub(super) fn remember_files(&mut self) {
        if self.processes.is_empty() && self.templates.is_empty() {
            // What starts later starts with what is there.
            return;
        }
        let path = self.remembered();
        self.watches.remember(&path);
    }

    /// The files that the supervisor before this one knew.
    pub(super) fn recall_files(&mut self) {
        let path = self.remembered();
        self.watches.recall(&path);
    }

    /// Nobody takes over.
    pub(in super::super) fn forget_files(&self) {
        let _ = fs::remove_file(self.remembered());
    }

    /// Where they stand, beside the sockets of the processes.
    fn remembered(&self) -> PathBuf {
        self.segment.socket_path(0).with_extension("files")
    }

    pub(super) fn say_changed(&self, file: &Path, log: &mut Log) {
        let file = escape(file.as_os_str().as_encoded_bytes());
        log.line(Level::Notice, RESTARTED, format_args!("\"{file}\" of \"{}\" has changed", self.about.name));
    }

    /// Says so when a file cannot be looked at.
    pub(super) fn say_unwatched(&self, log: &mut Log) {
        let code = Some(&self.watches.code).filter(|_| self.watches.always);
        for watch in self.watches.restart.iter().chain(code) {
            if let Some((file, error)) = watch.failure() {
                let file = escape(file.as_os_str().as_encoded_bytes());
                log.line(Level::Warn, RESTARTED, format_args!(
                    "\"{file}\" of \"{}\" cannot be looked at, so that its changes replace nothing: {error}; let the user of the worker \
                     processes enter the directories above it",
                    self.about.name
                ));
            }
        }
    }
}
