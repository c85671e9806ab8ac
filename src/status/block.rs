// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands in the shared memory about one application: what it is called, what its supervisor says of it, and a lane for each
//! worker.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::{
    lane::LANE,
    reason::{ExitReason, RestartReason},
    words::{self, HEAD, SEEN_IN, cut, text, word, write_text},
};

const STATE: usize = 0;
const KIND: usize = 1;
const PLACES: usize = 3;
const ROOM: usize = 4;
const NAME: usize = 5;
const NAME_WORDS: usize = 17;
/// The supervisor's words: what began new generations, and all from [`REPORT`] on.
const BEGUN: usize = 22;
const REPORT: usize = 32;
const EXITS: usize = REPORT;
const RESTARTS: usize = 48;
const FAILED_RESTARTS: usize = 49;
const GENERATION: usize = 50;
const LIFE: usize = 51;
const FAILED_GENERATION: usize = 52;
const FAILED_AT: usize = 53;
/// Changes before and after the text does.
const EDITION: usize = 54;
const REASON: usize = 55;
const REASON_WORDS: usize = 40;

const _: () = assert!(NAME + NAME_WORDS <= BEGUN);
const _: () = assert!(BEGUN + RestartReason::ALL.len() <= REPORT);
const _: () = assert!(EXITS + ExitReason::ALL.len() <= RESTARTS);
const _: () = assert!(REASON + REASON_WORDS <= words::FIRST);

const FREE: u64 = 0;
const MAKING: u64 = 1;
const MADE: u64 = 2;

/// What runs an application, or answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppKind {
    /// In the worker processes.
    InProcess = 1,
    /// In processes of its own.
    Managed = 2,
    /// A program for each request.
    Cgi = 3,
    /// A backend that somebody else runs.
    Upstream = 4,
}

impl AppKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::InProcess, Self::Managed, Self::Cgi, Self::Upstream];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in_process",
            Self::Managed => "managed",
            Self::Cgi => "cgi",
            Self::Upstream => "upstream",
        }
    }

    fn decode(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == word)
    }
}

/// How an application in processes of its own does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppLife {
    /// Processes take requests.
    Serving,
    /// It has no process; the next request starts one.
    Idle,
    /// The first process begins.
    Starting,
    /// A new generation begins.
    Restarting,
    /// No process can be started.
    Failing,
    /// Somebody has stopped it.
    Stopped,
    /// The configuration has it no more.
    Leaving,
}

impl AppLife {
    const ALL: [Self; 7] = [
        Self::Serving,
        Self::Idle,
        Self::Starting,
        Self::Restarting,
        Self::Failing,
        Self::Stopped,
        Self::Leaving,
    ];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Restarting => "restarting",
            Self::Failing => "failing",
            Self::Stopped => "stopped",
            Self::Leaving => "leaving",
        }
    }
}

/// A generation that could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedDeploy {
    /// Its number.
    pub generation: u32,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Why.
    pub reason: String,
}

/// What the supervisor says of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifeReport {
    /// How it does, if that was said.
    pub life: Option<AppLife>,
    /// Which generation serves, or is to.
    pub generation: u32,
    /// Processes that ended or were replaced.
    exits: [u64; ExitReason::ALL.len()],
    /// Generations that began after another one.
    begun: [u64; RestartReason::ALL.len()],
    /// Generations that came to serve after another one.
    pub restarts: u64,
    /// Generations that could not be started.
    pub failed_restarts: u64,
    /// The last of those, until another one serves.
    pub failed: Option<FailedDeploy>,
}

impl LifeReport {
    /// Processes that ended or were replaced for this reason.
    #[must_use]
    pub fn exits(&self, reason: ExitReason) -> u64 {
        self.exits.get(reason as usize).copied().unwrap_or(0)
    }

    /// Generations that began for this reason.
    #[must_use]
    pub fn begun(&self, reason: RestartReason) -> u64 {
        self.begun.get(reason as usize).copied().unwrap_or(0)
    }
}

/// Words of one application.
#[derive(Clone, Copy, Debug)]
pub struct Block<'m> {
    words: &'m [AtomicU64],
}

impl<'m> Block<'m> {
    pub(super) fn new(words: &'m [AtomicU64]) -> Self {
        Self { words }
    }

    fn load(&self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.load(Acquire))
    }

    fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.words.get(index) {
            word.store(value, Release);
        }
    }

    fn add(&self, index: usize, count: u64) {
        if let Some(word) = self.words.get(index) {
            word.fetch_add(count, Relaxed);
        }
    }

    /// Its words.
    pub(super) fn head(&self) -> &'m [AtomicU64] {
        self.words.get(..HEAD).unwrap_or_default()
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = &'m [AtomicU64; LANE]> {
        let (lanes, _) = self.words.get(HEAD..).unwrap_or_default().as_chunks();
        lanes.iter()
    }

    /// Whether it is nobody's.
    pub(super) fn is_free(&self) -> bool {
        self.load(STATE) == FREE
    }

    /// Whether it is an application's.
    pub(super) fn is_made(&self) -> bool {
        self.load(STATE) == MADE
    }

    /// Makes it this application's, if it is free.
    pub(super) fn make(&self, kind: AppKind, name: &str) -> bool {
        let Some(state) = self.words.get(STATE) else { return false };
        if state.compare_exchange(FREE, MAKING, AcqRel, Acquire).is_err() {
            return false;
        }
        self.store(KIND, kind as u64);
        write_text(self.words, NAME, NAME_WORDS, name);
        self.store(STATE, MADE);
        true
    }

    /// What it is.
    pub(super) fn kind(&self) -> Option<AppKind> {
        AppKind::decode(self.load(KIND))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> String {
        text(self.words, NAME, NAME_WORDS)
    }

    pub(super) fn is(&self, kind: AppKind, name: &str) -> bool {
        let name = cut(name, NAME_WORDS);
        let is_same = |(index, part): (usize, &[u8])| self.load(NAME + 1 + index) == word(part);
        self.is_made()
            && self.load(KIND) == kind as u64
            && self.load(NAME) == name.len() as u64
            && name.as_bytes().chunks(8).enumerate().all(is_same)
    }

    /// The configuration of this number has it: so many requests run at a time, and so many wait.
    pub(super) fn see(&self, number: u64, places: u64, room: u64) {
        self.store(PLACES, places);
        self.store(ROOM, room);
        self.store(SEEN_IN, number);
    }

    /// It is still there in the configuration of this number.
    pub(super) fn see_again(&self, number: u64) {
        self.store(SEEN_IN, number);
    }

    pub(super) fn seen_in(&self) -> u64 {
        self.load(SEEN_IN)
    }

    /// Requests at a time, of a process that runs it.
    pub(super) fn places(&self) -> u64 {
        self.load(PLACES)
    }

    /// Requests that may wait.
    pub(super) fn room(&self) -> u64 {
        self.load(ROOM)
    }
}

/// The supervisor's side.
impl Block<'_> {
    /// A process has ended, or is replaced.
    pub fn count_exit(&self, reason: ExitReason) {
        self.add(EXITS + reason as usize, 1);
    }

    /// Says how it does now.
    pub fn say(&self, life: AppLife, generation: u32) {
        self.store(LIFE, 1 + life as u64);
        self.store(GENERATION, generation.into());
    }

    /// A new generation begins.
    pub fn restart_begun(&self, reason: RestartReason) {
        self.add(BEGUN + reason as usize, 1);
    }

    /// A new generation serves.
    pub fn restarted(&self) {
        self.add(RESTARTS, 1);
        self.store(FAILED_GENERATION, 0);
    }

    /// A generation cannot be started.
    pub fn restart_failed(&self, failed: &FailedDeploy) {
        self.add(FAILED_RESTARTS, 1);
        self.add(EDITION, 1);
        self.store(FAILED_GENERATION, failed.generation.into());
        self.store(FAILED_AT, failed.at);
        write_text(self.words, REASON, REASON_WORDS, &failed.reason);
        self.add(EDITION, 1);
    }

    /// It cannot run, since so many seconds after the start of the machine, for this reason; or it can.
    pub fn say_unwell(&self, unwell: Option<(u64, &str)>) {
        words::say_unwell(self.words, unwell);
    }

    /// The same as it was said last: since when, in seconds of the clock that does not go back, and why.
    #[must_use]
    pub fn said_unwell(&self) -> Option<(u64, String)> {
        words::unwell_since(self.words).map(|since| (since, words::unwell_reason(self.words)))
    }

    /// What was said.
    #[must_use]
    pub fn report(&self) -> LifeReport {
        let life = usize::try_from(self.load(LIFE)).unwrap_or(0).checked_sub(1);
        LifeReport {
            life: life.and_then(|life| AppLife::ALL.get(life).copied()),
            generation: self.load(GENERATION) as u32,
            exits: std::array::from_fn(|reason| self.load(EXITS + reason)),
            begun: std::array::from_fn(|reason| self.load(BEGUN + reason)),
            restarts: self.load(RESTARTS),
            failed_restarts: self.load(FAILED_RESTARTS),
            failed: self.failed(),
        }
    }

    fn failed(&self) -> Option<FailedDeploy> {
        /// A supervisor that was killed while it wrote leaves an odd edition.
        const ATTEMPTS: usize = 100;
        for _ in 0..ATTEMPTS {
            let edition = self.load(EDITION);
            let generation = self.load(FAILED_GENERATION) as u32;
            if generation == 0 {
                return None;
            }
            let (at, reason) = (self.load(FAILED_AT), text(self.words, REASON, REASON_WORDS));
            if edition.is_multiple_of(2) && self.load(EDITION) == edition {
                return Some(FailedDeploy { generation, at, reason });
            }
            std::hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
mod tests;
