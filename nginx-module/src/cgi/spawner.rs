// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process that starts scripts: a child of the master's, forked while that is small and root.

use std::sync::{Mutex, PoisonError};

use gangway::{
    error::CGI_SPAWNER,
    log::Line,
    run::users,
    sys::{
        explain,
        spawner::{Spawner, SpawnerClient},
    },
};

use super::programs::AllSettings;
use crate::{
    conf::MainConf,
    raw::{self, Cycle},
};

/// Made by the master; workers inherit its descriptor.
static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// Forks the spawner, in the process that will fork the workers.
///
/// # Errors
/// The system cannot start it.
pub(crate) fn start_spawner(cycle: &Cycle<'_>) -> Result<(), Line> {
    if raw::is_test() {
        return Ok(());
    }
    let mut place = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    // That of an earlier configuration ends with the last worker that uses it.
    *place = None;
    let known = cycle.http::<MainConf>().and_then(|main| main.kinds.get());
    let Some(AllSettings(settings)) = known else { return Ok(()) };
    let spawner = Spawner::start(&users(settings), || raw::set_title(c"gangway spawner"));
    *place = Some(spawner.map_err(|error| {
        let why = explain(&error);
        Line::error(CGI_SPAWNER, format!("cannot start the process that starts scripts: {why}"))
    })?);
    Ok(())
}

/// A way to a helper of this worker's own.
pub(super) fn connect() -> std::io::Result<SpawnerClient> {
    let mut place = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    place.as_mut().ok_or(std::io::ErrorKind::NotConnected)?.connect()
}
