// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of an application: when they change, its processes are replaced.

use std::path::PathBuf;

use super::{
    super::{
        super::{message::AppFiles, plan::Event},
        log::Log,
        watch::Watch,
    },
    Orders, Supervised,
};
use crate::{
    error::RESTARTED,
    log::{Level, escape},
};

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

    /// What has changed, when the server is reloaded.
    pub(super) fn at_reload(&mut self) -> Option<PathBuf> {
        let file = self.restart.as_mut().and_then(Watch::look_now).map(PathBuf::from);
        let file = file.or_else(|| self.code.look_now().map(PathBuf::from));
        let file = file.or_else(|| self.reported.look_now().map(PathBuf::from));
        if file.is_some() {
            self.forget();
        }
        file
    }

    fn look(&mut self) -> Option<PathBuf> {
        let file = self.restart.as_mut().and_then(Watch::look_now).map(PathBuf::from);
        if file.is_some() {
            // Who starts now starts with what is there.
            self.code.forget();
        }
        let code = || self.code.look().or_else(|| self.reported.look()).map(PathBuf::from);
        let file = file.or_else(|| self.always.then(code).flatten());
        if file.is_some() {
            // Those of before may be what an attempt fails for.
            self.reported.forget();
        }
        file
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
    pub(in super::super) fn look_at_files(&mut self, orders: &mut Orders, log: &mut Log) {
        if let Some(file) = self.is_watched().then(|| self.watches.look()).flatten() {
            self.say_changed(&file, log);
            self.happens(Event::Restart, orders, log);
        }
    }

    pub(super) fn say_changed(&self, file: &std::path::Path, log: &mut Log) {
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
