// SPDX-License-Identifier: MIT OR Apache-2.0
//! From what there is to what there should be.

use std::time::Duration;

use super::{
    Action, GRACE, LOOK, LifeEvent, Look, NUDGE, Plan, QUIET, Time,
    slot::{Phase, PlanSlot},
    template::Source,
};

impl Plan {
    pub(super) fn decide(&mut self, now: Time, look: &impl Look) {
        self.end_what_is_late(now);
        if !self.stopped {
            self.open_what_is_ready(now);
        }
        self.demanded &= look.waiting() > 0;
        if self.retired.is_some() {
            self.retire(now, look);
            self.keep_templates(now, look);
        } else if self.stopped {
            self.end_all(now);
            self.keep_templates(now, look);
        } else {
            self.mark_worn(now);
            self.end_excess(now);
            self.end_idle(now);
            self.keep_templates(now, look);
            self.start_missing(now, look);
        }
        self.end_drained(now);
        // The pause is over and nobody starts one: the next request does.
        if self.backoff.next(now).is_none() && self.starting(self.generation) == 0 {
            self.say_condition(true);
        }
    }

    fn end_what_is_late(&mut self, now: Time) {
        for number in 0..self.slots.len() as u16 {
            let Some(slot) = self.slots.get_mut(usize::from(number)) else { continue };
            let generation = slot.generation;
            // A newer code has come before this one has served.
            let stale = generation != self.generation
                && (!self.templates.are_on() || self.serving != Some(generation));
            match slot.phase {
                Phase::Starting | Phase::Warm if stale => self.term(number, now),
                Phase::Starting => {
                    let age = now.saturating_sub(slot.since);
                    if self.life.boot_timeout.is_some_and(|limit| age >= limit) {
                        slot.phase = Phase::Ending { nudge_at: None, kill_at: None };
                        self.act(Action::Tell(LifeEvent::BootTimeout(number)));
                        self.act(Action::Kill(number));
                        self.failed(generation, now);
                    }
                }
                Phase::Ending { kill_at: Some(at), .. } if at <= now => {
                    slot.phase = Phase::Ending { nudge_at: None, kill_at: None };
                    self.act(Action::Tell(LifeEvent::Killed(number)));
                    self.act(Action::Kill(number));
                }
                Phase::Ending { nudge_at: Some(at), kill_at } if at <= now => {
                    slot.phase = Phase::Ending { nudge_at: None, kill_at };
                    self.act(Action::Nudge(number));
                }
                _ => {}
            }
        }
    }

    /// Those that are ready serve; with an older generation that serves not before all of them are ready, and then the old
    /// one does no more. Each lets one go that is to be replaced.
    fn open_what_is_ready(&mut self, now: Time) {
        let is_warm = |slot: &PlanSlot| slot.phase == Phase::Warm;
        let kept = self.numbers(|slot| is_warm(slot) && slot.generation != self.generation);
        self.open_in_place_of_leaving(kept, now);
        let old = self.old_open();
        let warm = self.numbers(|slot| is_warm(slot) && slot.generation == self.generation);
        if warm.is_empty() || (self.old_serves() && warm.len() < self.wanted_beside(old.len())) {
            return;
        }
        self.backoff.succeeded();
        self.old_backoff.succeeded();
        self.serving = Some(self.generation);
        if old.is_empty() {
            self.open_in_place_of_leaving(warm, now);
        } else {
            self.open(warm, old, now);
        }
        if std::mem::take(&mut self.restarting) {
            self.act(Action::Tell(LifeEvent::RestartDone(self.generation)));
        }
        self.say_condition(true);
    }

    fn open_in_place_of_leaving(&mut self, warm: Vec<u16>, now: Time) {
        let mut leaving = self.numbers(|slot| slot.phase == Phase::Ready && slot.leaving);
        leaving.truncate(warm.len());
        self.open(warm, leaving, now);
    }

    fn open(&mut self, warm: Vec<u16>, replaced: Vec<u16>, now: Time) {
        for number in warm {
            self.set(number, Phase::Ready);
            self.act(Action::Open(number));
        }
        for number in replaced {
            self.drain(number, now);
        }
    }

    /// How many of a new generation take the place of so many.
    fn wanted_beside(&self, old: usize) -> usize {
        let (least, most) = (self.life.least as usize, self.life.most as usize);
        old.max(least).min(most).max(1)
    }

    /// Fewer are allowed than there were.
    fn end_excess(&mut self, now: Time) {
        let mut ready: Vec<(bool, u16)> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.phase == Phase::Ready)
            .map(|(number, slot)| (!slot.leaving, number))
            .collect();
        ready.sort_unstable();
        let excess = ready.len().saturating_sub(self.life.most as usize);
        for (_, number) in ready.into_iter().take(excess) {
            self.drain(number, now);
        }
    }

    fn end_idle(&mut self, now: Time) {
        let Some(idle) = self.life.idle else { return };
        let mut ready = self.count(|slot| slot.phase == Phase::Ready);
        let unused =
            self.numbers(|slot| slot.phase == Phase::Ready && slot.claims == 0 && slot.idle_at(idle) <= now);
        // A new generation counts those of the old one.
        if !self.old_open().is_empty() {
            return;
        }
        for number in unused.into_iter().rev() {
            if ready > self.life.least as usize {
                self.act(Action::Tell(LifeEvent::Idle(number)));
                self.drain(number, now);
                ready -= 1;
            }
        }
    }

    fn start_missing(&mut self, now: Time, look: &impl Look) {
        self.start_kept(now, look);
        let mut missing = self.missing(look);
        if missing == 0 || self.backoff.next(now).is_some() {
            return;
        }
        if self.backoff.failures() > 0 {
            missing = usize::from(self.starting(self.generation) == 0);
        }
        let generation = self.generation;
        match self.source() {
            Source::Later => {}
            Source::Template(from) => {
                self.begin(missing, generation, now, |number| Action::Fork(number, generation, from));
            }
            Source::Itself => {
                self.begin(missing, generation, now, |number| Action::Start(number, generation))
            }
        }
    }

    /// What is missing of an older generation that serves on.
    fn start_kept(&mut self, now: Time, look: &impl Look) {
        let (Some(generation), Some(from)) = (self.kept(), self.kept_template()) else { return };
        if self.old_backoff.next(now).is_none() {
            let missing = self.missing_of(generation, look);
            self.begin(missing, generation, now, |number| Action::Fork(number, generation, from));
        }
    }

    fn begin(&mut self, missing: usize, generation: u32, now: Time, action: impl Fn(u16) -> Action) {
        let vacant = self.numbers(|slot| slot.phase == Phase::Vacant);
        for number in vacant.into_iter().take(missing) {
            self.births = self.births.wrapping_add(1);
            let born = PlanSlot::born(Phase::Starting, generation, now, &self.life, self.births);
            if let Some(slot) = self.slots.get_mut(usize::from(number)) {
                *slot = born;
            }
            self.act(action(number));
        }
    }

    fn starting(&self, generation: u32) -> usize {
        self.count(|slot| slot.phase == Phase::Starting && slot.generation == generation)
    }

    /// How many of this generation are to be started.
    pub(super) fn missing(&self, look: &impl Look) -> usize {
        if !self.old_serves() {
            return self.missing_of(self.generation, look);
        }
        let warm = self.count(|slot| slot.phase == Phase::Warm && slot.generation == self.generation);
        // The first one shows whether the code can be started at all, unless it is loaded already.
        let is_loaded = matches!(self.source(), Source::Template(_));
        let wanted = if warm == 0 && !is_loaded { 1 } else { self.wanted_beside(self.old_open().len()) };
        wanted.saturating_sub(warm + self.starting(self.generation))
    }

    /// How many there are to be beside those that there are.
    fn missing_of(&self, generation: u32, look: &impl Look) -> usize {
        let warm = self.count(|slot| slot.phase == Phase::Warm && slot.generation == generation);
        let current = |slot: &PlanSlot| slot.phase == Phase::Ready && slot.generation == generation;
        let staying = self.count(|slot| current(slot) && !slot.leaving);
        let leaving = self.count(|slot| current(slot) && slot.leaving);
        let (least, most) = (self.life.least as usize, self.life.most as usize);
        // Who waits while one has just come will have a place of that.
        let free: usize =
            self.slots.iter().filter(|slot| current(slot)).map(|slot| slot.free(self.threads)).sum();
        let waiting = look.waiting().saturating_sub(free);
        let load = if self.demanded { waiting.div_ceil(self.threads as usize) } else { 0 };
        // What serves already will have a place soon as well: at most twice as many at a time.
        let load = load.min(staying + leaving + 1);
        let wanted = (staying + leaving + load).max(least).min(most);
        wanted.saturating_sub(staying + warm + self.starting(generation))
    }

    fn end_drained(&mut self, now: Time) {
        for number in 0..self.slots.len() as u16 {
            let Some(slot) = self.slots.get(usize::from(number)) else { continue };
            let Phase::Draining { until } = slot.phase else { continue };
            let busy = slot.claims > 0;
            if busy && until.is_none_or(|at| at > now) {
                continue;
            }
            if busy {
                self.act(Action::Tell(LifeEvent::DrainTimeout(number)));
            }
            self.term(number, now);
        }
    }

    /// The last workers of the old configuration may still have requests, and need who is about to start.
    fn retire(&mut self, now: Time, look: &impl Look) {
        let since = self.retired.unwrap_or(now);
        let quiet = look.waiting() == 0 && self.slots.iter().all(|slot| slot.claims == 0);
        let late = self.life.drain_timeout.is_some_and(|limit| now >= since + limit);
        if !late && (now < since + QUIET || !quiet) {
            if look.waiting() > 0 {
                self.start_missing(now, look);
            }
            return;
        }
        self.end_all(now);
    }

    fn end_all(&mut self, now: Time) {
        for number in self.numbers(|slot| slot.phase.is_alive()) {
            match self.slots.get(usize::from(number)).map(|slot| slot.phase) {
                Some(Phase::Ready) => self.drain(number, now),
                _ => self.term(number, now),
            }
        }
    }

    /// Requests that it has may end. Whoever has claimed a place meanwhile is seen at the next look.
    pub(super) fn drain(&mut self, number: u16, now: Time) {
        let until = self.life.drain_timeout.map(|limit| now + limit);
        if let Some(slot) = self.slots.get_mut(usize::from(number)) {
            (slot.phase, slot.since) = (Phase::Draining { until }, now);
            // Until it is looked at again nobody knows.
            slot.claims = slot.claims.max(1);
        }
        self.act(Action::Close(number));
    }

    fn term(&mut self, number: u16, now: Time) {
        self.set(number, Phase::Ending { nudge_at: Some(now + NUDGE), kill_at: Some(now + GRACE) });
        self.act(Action::Term(number));
    }

    fn set(&mut self, number: u16, phase: Phase) {
        if let Some(slot) = self.slots.get_mut(usize::from(number)) {
            slot.phase = phase;
        }
    }

    /// When something has to be looked at again, if nothing happens before.
    #[must_use]
    pub fn wakes(&self, now: Time) -> Option<Time> {
        let old = !self.old_open().is_empty();
        let ready = self.count(|slot| slot.phase == Phase::Ready);
        let can_shrink = !old && ready > self.life.least as usize;
        let of_slots = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Vacant | Phase::Warm => None,
            Phase::Starting => self.life.boot_timeout.map(|limit| slot.since + limit),
            Phase::Ready => {
                let idle = self.life.idle.filter(|_| can_shrink && !slot.leaving);
                let idle = idle.map(|idle| slot.idle_at(idle).max(now + LOOK));
                let expires = slot.expires.filter(|_| !slot.leaving);
                idle.into_iter().chain(expires).min()
            }
            Phase::Draining { .. } if now.saturating_sub(slot.since) < QUIET => Some(now + LOOK),
            Phase::Draining { until } => Some(until.map_or(now + LOOK * 5, |at| at.min(now + LOOK * 5))),
            Phase::Ending { nudge_at, kill_at } => nudge_at.or(kill_at),
        });
        let counts = self.count_at.filter(|_| ready > 0 && self.counts());
        let retires = self.retired.filter(|_| self.slots.iter().any(|slot| slot.phase.is_alive()));
        let retires = retires.map(|since| (since + QUIET).max(now + LOOK * 5));
        let kept = self.kept_template().and_then(|_| self.old_backoff.next(now));
        let starts = self.backoff.next(now).into_iter().chain(kept);
        let templates = self.templates.wakes(self.life.boot_timeout);
        of_slots
            .chain(counts)
            .chain(retires)
            .chain(starts)
            .chain(templates)
            .min()
            .map(|at| at.max(now + Duration::from_millis(1)))
    }
}
