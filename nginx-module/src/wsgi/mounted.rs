// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says of applications.

use std::{cell::OnceCell, path::Path, sync::Arc};

use gangway::{
    config::ApplicationConf as Config,
    log::{self, Level, Line},
    runtime::{self, Application},
    supervise::manifest,
    sys::spawner::{account, is_root},
};

use crate::{
    conf::MainConf,
    managed,
    raw::{self, Cycle},
};

/// An application at a location.
pub(crate) struct Mounted {
    pub(super) config: Config,
    /// The path of the location, empty when it has none.
    pub(super) path: Vec<u8>,
    /// Where its requests are counted.
    pub(super) counted: usize,
    /// The application in this worker.
    pub(super) application: OnceCell<Arc<Application>>,
}

impl Mounted {
    pub(crate) fn new(config: Config, path: Vec<u8>, counted: usize) -> Self {
        Self { config, path, counted, application: OnceCell::new() }
    }
}

/// Every application, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Applications {
    pub(crate) all: Vec<Config>,
    /// Where the requests of each are counted.
    pub(crate) counted: Vec<usize>,
}

impl Applications {
    pub(super) fn of_cycle<'c>(cycle: &Cycle<'c>) -> Option<&'c Self> {
        cycle.http::<MainConf>().and_then(|main| main.kinds.get::<Self>())
    }
}

/// Root may read everything, so a configuration test of root's says nothing of what its workers may read.
///
/// # Errors
/// None of that: warnings are enough. When somebody has asked what applications there are, and cannot be told.
pub(crate) fn warn_of_closed_folders(cycle: &Cycle<'_>) -> Result<(), Line> {
    let applications = Applications::of_cycle(cycle).map_or(&[][..], |known| &known.all);
    if let Some((name, user, group)) = cycle.user().filter(|_| is_root() && !applications.is_empty()) {
        for line in runtime::check_as(applications, &account(name, user, group)) {
            log::process(Level::Warn, &line);
        }
    }
    if raw::is_test() {
        let worker = managed::workers_user(cycle);
        return manifest::write(&[], applications, Path::new(""), &worker)
            .map_err(|error| managed::untold_line(&error));
    }
    Ok(())
}
