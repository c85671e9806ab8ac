// SPDX-License-Identifier: MIT OR Apache-2.0
//! How an application does, for who asks, and what he wants of it.

use std::time::Duration;

use super::{
    super::super::{
        control::Record,
        plan::Event,
        segment::{Condition, SlotState},
    },
    super::log::Log,
    CommandQueue, Supervised,
};
use crate::{
    log::escape,
    status::{AppKind, AppLife, RestartReason, numbers},
    sys::{cgroup, cpu_time, monotonic, proportional, resident, start_time},
};

/// A generation that could not be started.
pub(super) struct FailedStart {
    pub(super) generation: u32,
    pub(super) at: Duration,
    pub(super) reason: String,
}

impl Supervised {
    pub(in super::super) fn name(&self) -> &str {
        &self.about.name
    }

    /// The user who runs it.
    pub(in super::super) fn owner(&self) -> u32 {
        self.about.owner.user
    }

    pub(in super::super) fn generation(&self) -> u32 {
        self.plan.generation()
    }

    pub(in super::super) fn is_stopped(&self) -> bool {
        self.plan.is_stopped()
    }

    /// Whether the configuration has it no more.
    pub(in super::super) fn is_leaving(&self) -> bool {
        self.plan.is_retired()
    }

    pub(in super::super) fn restart(&mut self, commands: &mut CommandQueue, log: &mut Log) {
        self.watches.forget();
        self.happens(Event::Restart(RestartReason::Command), commands, log);
    }

    pub(in super::super) fn stop(&mut self, commands: &mut CommandQueue, log: &mut Log) {
        self.segment.set_stopped(true);
        self.happens(Event::Stop, commands, log);
    }

    pub(in super::super) fn start_again(&mut self, commands: &mut CommandQueue, log: &mut Log) {
        self.segment.set_stopped(false);
        self.happens(Event::Resume, commands, log);
    }

    /// Adds a record of the application, and one of each process.
    pub(in super::super) fn status(&self, now: Duration, records: &mut Vec<Record>) {
        let user = &self.about.owner;
        let mut record = Record::new("application")
            .text("name", &self.about.name)
            .text("state", self.life().name())
            .text("user", &user.name)
            .number("generation", self.plan.generation().into())
            .number("waiting", self.segment.waiting() as u64)
            .number("least", self.about.life.least.into())
            .number("most", self.about.life.most.into())
            .number("threads", self.about.threads.into());
        // The same figures as the page has.
        let counts =
            self.figures.board.as_ref().and_then(|board| board.read_one(AppKind::Managed, &self.about.name));
        for (key, number) in counts.iter().flat_map(numbers) {
            record = record.number(&key, number);
        }
        if let Some(failed) = &self.failed {
            record = record
                .number("failed_generation", failed.generation.into())
                .number("failed_seconds_ago", now.saturating_sub(failed.at).as_secs())
                .text("failed_reason", &failed.reason);
        }
        if let Some(group) = &self.about.cgroup {
            let used = cgroup::used(group);
            let cpu = used.cpu.map(|cpu| cpu.as_millis() as u64);
            for (key, number) in [
                ("cgroup_memory_bytes", used.memory),
                ("cgroup_cpu_milliseconds", cpu),
                ("cgroup_killed", used.killed),
            ] {
                record = number.into_iter().fold(record, |record, number| record.number(key, number));
            }
        }
        if let Some((since, why)) = &self.unwell {
            record =
                record.text("reason", why).number("failing_seconds", now.saturating_sub(*since).as_secs());
        }
        records.push(record);
        records.extend(self.processes.keys().map(|slot| self.process_status(*slot, now)));
    }

    fn process_status(&self, slot: u16, now: Duration) -> Record {
        let seen = self.segment.slot(slot);
        let mut record = Record::new("process")
            .number("pid", seen.pid.into())
            .text("state", seen.state.name())
            .number("generation", seen.generation.into())
            .number("requests", seen.served)
            .number("running", seen.claims.into());
        if let Some(since) = self.segment.oldest_claim(slot) {
            record = record.number("longest_milliseconds", (now.as_millis() as u64).saturating_sub(since));
        }
        if let Some(longest) = self.segment.running(slot).iter().min_by_key(|note| note.since) {
            record = record.text("request", &escape(&longest.line)).text("request_id", &escape(&longest.id));
        }
        if let Some(used) = cpu_time(seen.pid) {
            record = record.number("cpu_milliseconds", used.as_millis() as u64);
        }
        if let Some(begun) = start_time(seen.pid) {
            record = record.number("age_seconds", now.saturating_sub(begun).as_secs());
        }
        let share = proportional(seen.pid).or(seen.memory);
        for (key, memory) in [("rss_bytes", resident(seen.pid)), ("pss_bytes", share)] {
            if let Some(memory) = memory {
                record = record.number(key, memory);
            }
        }
        record
    }

    /// Notes since when its requests fail, and why: no process can be started, or one that serves cannot run the application.
    pub(super) fn see_unwell(&mut self) {
        let serves = |slot: &u16| self.segment.slot(*slot).state == SlotState::Ready;
        let serving = self.processes.iter().filter(|(slot, _)| serves(slot));
        let why = match self.segment.condition() {
            Condition::Down if self.plan.is_stopped() => None,
            Condition::Down => Some(self.reason.clone()),
            Condition::Up => { serving }.find_map(|(_, process)| process.unwell.clone()),
        };
        let since = self.unwell.take().map_or_else(monotonic, |(since, _)| since);
        self.unwell = why.map(|why| (since, why));
    }

    /// How it does.
    pub(super) fn life(&self) -> AppLife {
        let any = |wanted| self.processes.keys().any(|slot| self.segment.slot(*slot).state == wanted);
        if self.plan.is_retired() {
            AppLife::Leaving
        } else if self.plan.is_stopped() {
            AppLife::Stopped
        } else if self.segment.condition() == Condition::Down {
            AppLife::Failing
        } else if self.plan.is_restarting() {
            AppLife::Restarting
        } else if any(SlotState::Ready) && self.unwell.is_some() {
            AppLife::Failing
        } else if any(SlotState::Ready) {
            AppLife::Serving
        } else if any(SlotState::Starting) {
            AppLife::Starting
        } else {
            AppLife::Idle
        }
    }
}
