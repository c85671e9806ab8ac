// SPDX-License-Identifier: MIT OR Apache-2.0
//! A supervisor that takes the place of another one goes on with what runs.

use super::{
    super::{
        super::{
            plan::{self, Event},
            segment::{Condition, Owner, SlotState},
        },
        FoundFiles,
        log::Log,
        process::Process,
    },
    CommandQueue, Supervised,
};
use crate::{
    status::RestartReason,
    sys::{PidFd, monotonic, spawner::tree::template_of},
};

impl Supervised {
    /// Takes over a process that ran before this supervisor, or a template.
    pub(in super::super) fn adopt(&mut self, found: FoundFiles) {
        let FoundFiles { slot, pid, version, output, .. } = found;
        let (now, mut process) = (monotonic(), Process::found(pid, output));
        let generation = if let Some((generation, is_loaded)) = found.template {
            let Some(number) = template_of(slot) else { return };
            self.plan.adopt_template(number, generation, is_loaded, now);
            self.templates.insert(number, process);
            generation
        } else {
            let seen = self.segment.slot(slot);
            let state = match seen.state {
                SlotState::Ready => plan::Found::Ready,
                SlotState::Draining | SlotState::Stuck | SlotState::Gone => plan::Found::Draining,
                SlotState::Ending => plan::Found::Ending,
                SlotState::Starting | SlotState::Vacant => plan::Found::Starting,
            };
            self.plan.adopt(slot, seen.generation, state, now);
            process.unwell = seen.is_unwell.then(|| self.recall_unwell());
            self.processes.insert(slot, process);
            if state == plan::Found::Starting {
                self.probe(slot);
            }
            seen.generation
        };
        if self.newest.is_none_or(|(newest, _)| newest <= generation) {
            self.newest = Some((generation, version));
        }
    }

    /// Workers that have left something in the shared memory, and may have ended before this supervisor began.
    pub(in super::super) fn strangers(&self) -> Vec<(PidFd, Owner)> {
        let mut owners: Vec<Owner> = self.segment.workers().collect();
        owners.sort_unstable_by_key(|owner| owner.pid());
        owners.dedup();
        let watched = |owner: Owner| match PidFd::open(owner.pid()) {
            Ok(process) => Some((process, owner)),
            Err(_) => {
                self.free(owner);
                None
            }
        };
        owners.into_iter().filter_map(watched).collect()
    }

    /// Begins, with what was adopted.
    pub(in super::super) fn begin(&mut self, commands: &mut CommandQueue, log: &mut Log) {
        self.plan.go_on(monotonic());
        if self.newest.is_some() {
            self.recall_files();
        }
        self.remember_files();
        for slot in 0..self.segment.shape().slots {
            if !self.processes.contains_key(&slot) && self.segment.slot(slot).state != SlotState::Vacant {
                self.clear(slot);
            }
        }
        if self.segment.is_stopped() {
            self.happens(Event::Stop, commands, log);
        } else {
            self.say_unwatched(log);
            self.segment.set_condition(Condition::Up);
            self.happens(Event::Tick, commands, log);
        }
        // The newest that was found has other words than those that are wanted.
        if self.newest.take().is_some_and(|(_, version)| version != self.version) {
            self.happens(Event::Restart(RestartReason::Configuration), commands, log);
        }
    }
}
