// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process that starts scripts: a child of the master's, forked while that is small and root.

use gangway::{log::Line, run::users, sys::spawner::SpawnerSeat};

use super::programs::AllSettings;
use crate::{
    conf::MainConf,
    raw::{self, Cycle},
};

/// Made by the master.
pub(super) static SPAWNER: SpawnerSeat = SpawnerSeat::new();

/// Forks the spawner, in the process that will fork the workers.
///
/// # Errors
/// The system cannot start it.
pub(crate) fn start_spawner(cycle: &Cycle<'_>) -> Result<(), Line> {
    if raw::is_test() {
        return Ok(());
    }
    match cycle.http::<MainConf>().and_then(|main| main.kinds.get()) {
        Some(AllSettings(settings)) => {
            SPAWNER.replace(&users(settings), || raw::set_title(c"gangway spawner"))
        }
        None => {
            SPAWNER.clear();
            Ok(())
        }
    }
}
