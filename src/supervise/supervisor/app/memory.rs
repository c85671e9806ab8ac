// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much memory processes have as their share. Of other users' only the keeper may see it: it is asked when one begins to take
//! requests, and when somebody looks at the status, who finds what was seen last.

use std::time::Duration;

use super::{CommandQueue, Supervised};
use crate::sys::{monotonic, spawner::tree::KeeperCommand};

/// Looks of the keeper at the processes of an application, each of which takes it a part of a millisecond.
const EVERY: Duration = Duration::from_secs(1);

impl Supervised {
    /// Has all of them looked at.
    pub(in super::super) fn measure(&mut self, commands: &mut CommandQueue) {
        let now = monotonic();
        if self.measured.is_some_and(|at| now < at + EVERY) {
            return;
        }
        self.measured = Some(now);
        self.processes.keys().for_each(|slot| self.measure_one(*slot, commands));
    }

    pub(super) fn measure_one(&self, slot: u16, commands: &mut CommandQueue) {
        commands.push_back((KeeperCommand::Measure { app: self.id, slot }.encode(), Vec::new()));
    }

    pub(in super::super) fn measured(&self, slot: u16, pid: u32, bytes: u64) {
        self.segment.set_memory(slot, pid, bytes);
    }
}
