// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be done with the processes of one application: a machine without clock and without processes.
//!
//! ```text
//! Vacant -> Starting -> Ready -> Draining -> Ending -> Vacant
//!               \-> Warm -/ (ready, while an older generation still serves)
//! ```
//!
//! [`Plan::handle`] takes what has happened, with the time and with what is seen in the shared memory; it answers by
//! actions, which the caller carries out in their order. [`Plan::wakes`] is when it wants to be asked again; a pool
//! that needs nothing says `None`.

mod adopt;
mod backoff;
mod slot;
mod template;
#[cfg(test)]
mod tests;
mod upkeep;
mod wear;

use std::time::Duration;

use crate::{config::Life, status::RestartReason};
pub use adopt::Found;
use backoff::Backoff;
use slot::{Phase, PlanSlot};
pub use template::TEMPLATES;
use template::Templates;

/// A time: what has passed since some moment of the supervisor's life.
pub type Time = Duration;

/// How often a process that drains is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// From TERM to KILL.
const GRACE: Duration = Duration::from_secs(5);
/// From TERM to the other signal: see [`Action::Nudge`].
const NUDGE: Duration = Duration::from_millis(500);
/// Processes that ended earlier, one after the other, are a failure, also if they took requests.
const STABLE: Duration = Duration::from_secs(10);
/// Requests that are counted are looked at so often while there are some, and less and less without.
const COUNT: Duration = Duration::from_secs(1);
const COUNT_SELDOM: Duration = Duration::from_secs(30);
/// What an application that has left the configuration still gets, because the last workers of the old one are not idle.
const QUIET: Duration = Duration::from_secs(1);

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The configuration has other words for how many there are, and for how long.
    Configured(Life),
    /// Requests wait and no process has a place for them.
    Demand,
    /// New code or other words for the process: all are to be replaced.
    Restart(RestartReason),
    /// The configuration has the application no more.
    Retire,
    /// Somebody wants no processes, whatever comes.
    Stop,
    /// Somebody wants them again.
    Resume,
    /// The process of a slot takes requests.
    Ready(u16),
    /// No process could be made for a slot.
    NotStarted(u16),
    /// The process of a slot has ended; by itself and without a complaint, or not.
    Exited(u16, bool),
    /// The process of a slot did not answer a request in time.
    Stuck(u16),
    /// The template of this number has loaded the application.
    TemplateReady(u16),
    /// It has ended, or could not be made.
    TemplateEnded(u16),
    /// The time that [`Plan::wakes`] said has come, or something else may be different.
    Tick,
}

/// What is seen of a slot in the shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests that its process has now.
    pub claims: u16,
    /// Requests that it has had.
    pub served: u64,
    /// A worker says that it takes no more, which has not been looked into yet.
    pub is_gone: bool,
}

/// What is seen in the shared memory.
pub trait Look {
    /// Of a slot.
    fn slot(&self, slot: u16) -> Seen;
    /// Requests that wait.
    fn waiting(&self) -> usize;
    /// Resident memory of the process of a slot, in bytes. Asked seldom: it is not in the shared memory.
    fn resident(&self, slot: u16) -> u64;
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a process of this generation.
    Start(u16, u32),
    /// Make one of this generation from the template of this number.
    Fork(u16, u32, u16),
    /// Make a template of this number and generation.
    Load(u16, u32),
    /// Ask its group to end.
    TermTemplate(u16),
    /// End its group.
    KillTemplate(u16),
    /// Let requests have its places.
    Open(u16),
    /// Let no more requests have its places.
    Close(u16),
    /// Ask its group to end.
    Term(u16),
    /// Ask it once more, in the way of FastCGI's own library: a program that waits for a request may not hear TERM.
    Nudge(u16),
    /// End its group.
    Kill(u16),
    /// The slot is free.
    Clear(u16),
    /// Without a process requests wait for the next one, or do not.
    Condition(bool),
    /// For the log.
    Tell(LifeEvent),
}

/// What people want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEvent {
    /// A process did not take requests within `boot_timeout=`.
    BootTimeout(u16),
    /// A process ended before it took requests.
    BootFailed(u16),
    /// A process ended that should not have.
    Died(u16),
    /// The next attempt comes after so long, after so many that have failed in a row.
    Waits(Duration, u32),
    /// Requests did not end within `drain_timeout=`.
    DrainTimeout(u16),
    /// A request was not answered in time.
    Stuck(u16),
    /// TERM did not end it.
    Killed(u16),
    /// It is to be replaced by another one, because of this.
    Worn(u16, Wear),
    /// It ended by itself and without a complaint, when it had answered requests.
    Finished(u16),
    /// Nobody has asked it for the time of `idle=`.
    Idle(u16),
    /// A new generation begins, because of this.
    RestartBegun(u32, RestartReason),
    /// It serves now.
    RestartDone(u32),
    /// It could not be started; the old one goes on.
    RestartFailed(u32),
    /// The template could not load the application, and processes do by themselves.
    TemplateFailed,
    /// It did not within `boot_timeout=`.
    TemplateTimeout,
    /// It ended when it had.
    TemplateDied,
}

/// Why a process has served for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// So many requests: `max_requests=`.
    Requests(u64),
    /// So many bytes: `max_rss=`.
    Resident(u64),
    /// Its age: `lifetime=`.
    Age,
}

/// The processes of one application.
#[derive(Clone, Debug)]
pub struct Plan {
    life: Life,
    /// Requests that a process takes at a time.
    threads: u32,
    generation: u32,
    /// The generation that requests have been given to.
    serving: Option<u32>,
    slots: Vec<PlanSlot>,
    backoff: Backoff,
    /// Of an older generation that serves on.
    old_backoff: Backoff,
    templates: Templates,
    /// Requests wait, or have waited.
    demanded: bool,
    /// Whether requests may wait for a process.
    up: bool,
    /// A new generation has not served yet.
    restarting: bool,
    /// Somebody wants no processes.
    stopped: bool,
    /// Since when the application is no more in the configuration.
    retired: Option<Time>,
    /// When counted requests are looked at, and how long after the last look.
    count_at: Option<Time>,
    count_after: Duration,
    /// Requests were served since then.
    worked: bool,
    /// How many processes there were, for what must not be the same for all.
    births: u32,
    actions: Vec<Action>,
}

impl Plan {
    /// A plan without processes. `slots` is how many there may be at a time, twice the most and two at the least.
    #[must_use]
    pub fn new(life: Life, threads: u32, slots: u16) -> Self {
        Self {
            life,
            threads: threads.max(1),
            generation: 1,
            serving: None,
            slots: vec![PlanSlot::default(); usize::from(slots)],
            backoff: Backoff::default(),
            old_backoff: Backoff::default(),
            templates: Templates::default(),
            demanded: false,
            up: true,
            restarting: false,
            stopped: false,
            retired: None,
            count_at: None,
            count_after: COUNT,
            worked: false,
            births: 0,
            actions: Vec::new(),
        }
    }

    /// Slots that are enough for an application with so many processes: an old generation that drains and a new one.
    #[must_use]
    pub fn slots_for(most: u32) -> u16 {
        u16::try_from(most.saturating_mul(2).saturating_add(1)).unwrap_or(u16::MAX)
    }

    /// The generation that new processes have.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether somebody has stopped it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether a new generation has begun and has not served yet.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.restarting
    }

    /// Whether the configuration has it no more.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.is_some()
    }

    /// Whether an application that was retired has no process any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let vacant = self.slots.iter().all(|slot| slot.phase == Phase::Vacant);
        self.retired.is_some() && vacant && self.templates.are_vacant()
    }

    /// What is to be done now that this has happened.
    pub fn handle(&mut self, event: Event, now: Time, look: &impl Look) -> Vec<Action> {
        // Who waited behind those that serve has asked for nobody: see `Segment::wants_more`.
        self.demanded |= matches!(event, Event::Exited(..) | Event::Stuck(_)) && look.waiting() > 0;
        if let Event::Exited(slot, _) = event {
            self.count_last(slot, look);
        }
        match event {
            Event::Configured(life) => self.configured(life),
            Event::Demand => self.demanded = true,
            Event::Restart(reason) => self.restart(reason),
            Event::Stop => self.stop(),
            Event::Resume => self.resume(),
            Event::Retire => self.retired = self.retired.or(Some(now)),
            Event::Ready(slot) => self.ready(slot, now),
            Event::NotStarted(slot) => self.not_started(slot, now),
            Event::Exited(slot, clean) => self.exited(slot, clean, now),
            Event::Stuck(slot) => self.stuck(slot, now),
            Event::TemplateReady(number) => self.template_ready(number, now),
            Event::TemplateEnded(number) => self.template_ended(number, now),
            Event::Tick => {}
        }
        self.observe(now, look);
        self.decide(now, look);
        std::mem::take(&mut self.actions)
    }

    fn configured(&mut self, life: Life) {
        self.life = life;
        for slot in &mut self.slots {
            slot.bound(&life);
        }
    }

    fn restart(&mut self, reason: RestartReason) {
        let is_loaded = self.templates.restart();
        if self.slots.iter().all(|slot| !slot.phase.is_alive()) {
            // Who starts next starts with the new code.
            self.backoff = Backoff::default();
            self.generation = self.generation.wrapping_add(u32::from(is_loaded));
            self.serving = None;
        } else {
            self.generation = self.generation.wrapping_add(1);
            self.backoff = Backoff::default();
            self.restarting = true;
            self.act(Action::Tell(LifeEvent::RestartBegun(self.generation, reason)));
        }
        // What has failed may be whole now: requests wait for it.
        self.say_condition(true);
    }

    /// Who waits is refused, and who comes.
    fn stop(&mut self) {
        self.stopped = true;
        self.restarting = false;
        self.say_condition(false);
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.stopped) {
            self.backoff = Backoff::default();
            self.templates.restart();
            self.say_condition(true);
        }
    }

    fn ready(&mut self, number: u16, now: Time) {
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        if slot.phase != Phase::Starting {
            return;
        }
        (slot.phase, slot.since, slot.used_at) = (Phase::Warm, now, now);
    }

    /// Its other requests may end, and then it does.
    fn stuck(&mut self, number: u16, now: Time) {
        if self.slots.get(usize::from(number)).is_some_and(|slot| slot.phase == Phase::Ready) {
            self.act(Action::Tell(LifeEvent::Stuck(number)));
            self.drain(number, now);
        }
    }

    /// There never was a process. Why, its caller has told.
    fn not_started(&mut self, number: u16, now: Time) {
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        let slot = std::mem::take(slot);
        self.act(Action::Clear(number));
        if slot.phase == Phase::Starting {
            self.failed(slot.generation, now);
        }
    }

    fn exited(&mut self, number: u16, clean: bool, now: Time) {
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        let (phase, generation) = (slot.phase, slot.generation);
        let young = now.saturating_sub(slot.since) < STABLE;
        let worked = slot.served > 0;
        *slot = PlanSlot::default();
        self.act(Action::Clear(number));
        match phase {
            Phase::Vacant | Phase::Draining { .. } | Phase::Ending { .. } => {}
            Phase::Starting | Phase::Warm => {
                self.act(Action::Tell(LifeEvent::BootFailed(number)));
                self.failed(generation, now);
            }
            // Programs may count their requests themselves and end.
            Phase::Ready if clean && worked => self.act(Action::Tell(LifeEvent::Finished(number))),
            Phase::Ready => {
                self.act(Action::Tell(LifeEvent::Died(number)));
                self.died(generation, young, worked, now);
            }
        }
    }

    /// One that took requests has ended: the next one will be able to start, and nobody is refused for that.
    fn died(&mut self, generation: u32, young: bool, worked: bool, now: Time) {
        let is_current = generation == self.generation;
        let backoff = if is_current { &mut self.backoff } else { &mut self.old_backoff };
        if !young {
            return backoff.lasted();
        }
        let wait = backoff.died(now, worked);
        if is_current && !wait.is_zero() {
            self.act(Action::Tell(LifeEvent::Waits(wait, 0)));
        }
    }

    /// An attempt to start one has failed.
    fn failed(&mut self, generation: u32, now: Time) {
        if generation != self.generation {
            self.old_backoff.failed(now);
            return;
        }
        let wait = self.backoff.failed(now);
        if self.old_serves() {
            self.act(Action::Tell(LifeEvent::RestartFailed(generation)));
        }
        self.act(Action::Tell(LifeEvent::Waits(wait, self.backoff.failures())));
        let serves = self.slots.iter().any(|slot| slot.phase == Phase::Ready);
        self.say_condition(serves || !self.backoff.is_down());
    }

    fn say_condition(&mut self, up: bool) {
        let up = up && !self.stopped;
        if up != self.up {
            self.up = up;
            self.act(Action::Condition(up));
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Numbers of the slots whose processes serve with an older code.
    fn old_open(&self) -> Vec<u16> {
        self.numbers(|slot| slot.phase == Phase::Ready && slot.generation != self.generation)
    }

    fn numbers(&self, wanted: impl Fn(&PlanSlot) -> bool) -> Vec<u16> {
        (0..).zip(&self.slots).filter(|(_, slot)| wanted(slot)).map(|(number, _)| number).collect()
    }

    fn count(&self, wanted: impl Fn(&PlanSlot) -> bool) -> usize {
        self.slots.iter().filter(|slot| wanted(slot)).count()
    }
}
