// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the start of a process to its first request: it is asked whether it takes requests, and then for the path of `warmup=`.

use std::time::Duration;

use super::{
    super::{
        super::{plan::Event, segment::SlotState},
        log::Log,
        probe::{Known, Probe},
        warmup::{Warmup, WarmupProgress},
    },
    CommandQueue, Process, Supervised,
};
use crate::{
    error::{PROCESS_NOT_READY, WARMUP_FAILED},
    log::Level,
    sys::{monotonic, spawner::Exit},
};

impl Process {
    /// When to look at it again.
    pub(super) fn boot_at(&self) -> Option<Duration> {
        let warmup = self.warmup.as_ref().map(Warmup::until);
        self.probe.as_ref().map(Probe::at).into_iter().chain(warmup).min()
    }
}

impl Supervised {
    pub(super) fn probe(&mut self, slot: u16) {
        let path = self.segment.socket_path(slot);
        if let Some(process) = self.processes.get_mut(&slot) {
            // Without a listener it has ended already, which the keeper tells.
            let now = monotonic();
            process.probe = if self.is_unasked && self.about.is_program {
                Some(Probe::without_question(now))
            } else {
                Probe::ask(&path, now).ok()
            };
        }
    }

    /// A process has ended while it began. A program that did by itself when it was asked whether it takes requests is not asked again.
    pub(super) fn note_end_at_question(&mut self, slot: u16, exit: Exit, log: &mut Log) {
        let by_itself = matches!(exit, Exit::Status(_)) && self.segment.slot(slot).state != SlotState::Ending;
        if !by_itself || !self.about.is_program || self.is_unasked {
            return;
        }
        let probe = self.processes.get_mut(&slot).and_then(|process| process.probe.as_mut());
        if !probe.is_some_and(|probe| probe.may_have_ended_it(monotonic())) {
            return;
        }
        self.is_unasked = true;
        log.line(Level::Notice, PROCESS_NOT_READY, format_args!(
            "\"{}\" ends when it is asked whether it takes requests (FCGI_GET_VALUES): its processes count as ready half a second after they have begun from now on",
            self.about.name
        ));
    }

    /// The time has come for something.
    pub(in super::super) fn look(&mut self, now: Duration, commands: &mut CommandQueue, log: &mut Log) {
        let (mut known, mut late) = (Vec::new(), Vec::new());
        for (slot, process) in &mut self.processes {
            if let Some(probe) = process.probe.as_mut().filter(|probe| probe.at() <= now) {
                known.push((*slot, probe.look(&self.segment.socket_path(*slot), now)));
            }
            if process.warmup.as_ref().is_some_and(|warmup| warmup.until() <= now) {
                late.push(*slot);
            }
        }
        for (slot, known) in known {
            self.probed(slot, known, commands, log);
        }
        for slot in late {
            self.warmed(
                slot,
                &WarmupProgress::Failed("it was not answered in time".to_owned()),
                commands,
                log,
            );
        }
        self.happens(Event::Tick, commands, log);
    }

    /// Something has come from one that begins.
    pub(in super::super) fn look_at_probe(&mut self, slot: u16, commands: &mut CommandQueue, log: &mut Log) {
        let Some(process) = self.processes.get_mut(&slot) else { return };
        if let Some(probe) = &mut process.probe {
            let known = probe.read(monotonic());
            self.probed(slot, known, commands, log);
        } else if let Some(warmup) = &mut process.warmup {
            let progress = warmup.go_on();
            self.warmed(slot, &progress, commands, log);
        }
    }

    fn probed(&mut self, slot: u16, known: Known, commands: &mut CommandQueue, log: &mut Log) {
        if known == Known::Nothing {
            return;
        }
        let Some(process) = self.processes.get_mut(&slot) else { return };
        process.probe = None;
        if known != Known::Takes {
            return;
        }
        // What it has said of itself before it took requests is there by now.
        self.read_output(slot, log);
        let Some(process) = self.processes.get_mut(&slot) else { return };
        process.reason = process.unwell.clone().filter(|_| self.plan.would_replace(slot));
        if process.reason.is_some() {
            // It would answer requests with errors, and another generation answers them well.
            return self.signal(slot, libc::SIGKILL, commands);
        }
        let Some(words) = &self.about.warmup else {
            return self.happens(Event::Ready(slot), commands, log);
        };
        let now = monotonic();
        let left = self.about.life.boot_timeout.map(|limit| (process.began + limit).saturating_sub(now));
        match Warmup::ask(&self.segment.socket_path(slot), words, now, left) {
            Ok(warmup) => process.warmup = Some(warmup),
            Err(error) => self.warmed(slot, &WarmupProgress::Failed(error.to_string()), commands, log),
        }
    }

    fn warmed(&mut self, slot: u16, progress: &WarmupProgress, commands: &mut CommandQueue, log: &mut Log) {
        if *progress == WarmupProgress::Goes {
            return;
        }
        let Some(process) = self.processes.get_mut(&slot) else { return };
        process.warmup = None;
        if let WarmupProgress::Failed(why) = progress {
            let path = self.about.warmup.as_ref().map(|words| words.path.as_str()).unwrap_or_default();
            log.line(Level::Warn, WARMUP_FAILED, format_args!(
                "process {} of \"{}\" did not answer warmup={path} well ({why}); it gets requests all the same",
                process.pid, self.about.name
            ));
        }
        self.happens(Event::Ready(slot), commands, log);
    }
}
