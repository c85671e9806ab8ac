// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a worker counts about an application: a few cache lines that it alone writes, as a rule. Everything in them only grows,
//! but for the two that say what is now; those are nobody's when their worker has ended, and the next one begins them anew. So the
//! counts of a worker that has ended, or was killed, stay.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    histogram::{BUCKETS, Histogram, bucket},
    words::{self, HEAD},
};
use crate::sys::monotonic;

/// Words of a lane.
pub(super) const LANE: usize = 64;

/// Whose it is: 0 for one that was never used.
pub(super) const OWNER: usize = 0;
/// Requests that were counted before its present owner came.
pub(super) const BEFORE: usize = 1;
pub(super) const WAITING: usize = 2;
pub(super) const RUNNING: usize = 3;
/// How many have waited at a time, at most.
const HIGHEST: usize = 4;
const WAIT_SUM: usize = 5;
const RUN_SUM: usize = 6;
/// Answers, by [`CodeClass`]; the one that is usual stands first.
const CLASSES: usize = 7;
/// Since when it cannot run the application: [`words`].
pub(super) const UNWELL: usize = 17;
const EVENTS: usize = 18;
const WAITS: usize = 26;
const RUNS: usize = WAITS + BUCKETS;

const _: () = assert!(CLASSES + CodeClass::ALL.len() <= UNWELL);
const _: () = assert!(EVENTS + Incident::ALL.len() <= WAITS);
const _: () = assert!(RUNS + BUCKETS <= LANE);

/// What a request was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeClass {
    /// 2xx.
    Success,
    /// 1xx.
    Interim,
    /// 3xx.
    Redirect,
    /// 4xx.
    ClientError,
    /// 5xx that has no class of its own.
    ServerError,
    /// 500.
    Failed,
    /// 502.
    BadGateway,
    /// 503.
    Unavailable,
    /// 504.
    Timeout,
    /// The client left before there was an answer.
    Left,
}

impl CodeClass {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 10] = [
        Self::Success,
        Self::Interim,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::Failed,
        Self::BadGateway,
        Self::Unavailable,
        Self::Timeout,
        Self::Left,
    ];

    /// That of a status.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            100..=199 => Self::Interim,
            300..=399 => Self::Redirect,
            499 => Self::Left,
            400..=498 => Self::ClientError,
            500 => Self::Failed,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            504 => Self::Timeout,
            _ => Self::ServerError,
        }
    }

    /// Its name: a status, or a class of them. All of 5xx begin with a 5.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Interim => "1xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Failed => "500",
            Self::BadGateway => "502",
            Self::Unavailable => "503",
            Self::Timeout => "504",
            Self::Left => "499",
        }
    }

    /// Whether the answer is the server's or the application's failure.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.name().starts_with('5')
    }
}

/// What else may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// It went over a connection that was kept.
    Kept,
    /// It went over a new connection.
    Fresh,
    /// So many waited that it was refused.
    QueueFull,
    /// No process could be started, so it was refused.
    NoProcess,
    /// It waited for its turn for too long.
    QueueTimeout,
    /// The application did not answer in time.
    RunTimeout,
    /// It was given to another process, because the first one had ended.
    Replay,
}

impl Incident {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 7] = [
        Self::Kept,
        Self::Fresh,
        Self::QueueFull,
        Self::NoProcess,
        Self::QueueTimeout,
        Self::RunTimeout,
        Self::Replay,
    ];
}

/// The words of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerLane {
    words: &'static [AtomicU64; LANE],
    /// Those of the application.
    head: &'static [AtomicU64; HEAD],
    /// How many requests it runs at a time, and how many may wait; nobody knows where somebody else says how many do.
    bounds: Option<(u64, u64)>,
}

impl WorkerLane {
    pub(super) fn new(
        words: &'static [AtomicU64; LANE],
        head: &'static [AtomicU64; HEAD],
        bounds: Option<(u64, u64)>,
    ) -> Self {
        Self { words, head, bounds }
    }

    /// The application cannot run here for this reason, or, if that is empty, it can.
    pub(super) fn note_health(self, reason: &str) {
        let unwell = (!reason.is_empty()).then(|| (monotonic().as_secs(), reason));
        words::note_unwell(self.head, &self.words[UNWELL], unwell);
    }

    fn add(self, index: usize, count: u64) -> u64 {
        // The indexes are constants, or of enums whose number is compared with the room above.
        self.words.get(index).map_or(0, |word| word.fetch_add(count, Relaxed))
    }

    /// A request has come.
    pub(super) fn arrives(self) {
        let waiting = self.words[WAITING].fetch_add(1, Relaxed) + 1;
        if let Some((places, room)) = self.bounds {
            let running = self.words[RUNNING].load(Relaxed);
            // One more is refused, and has not waited.
            self.note_waiting((waiting + running).saturating_sub(places).min(room));
        }
    }

    /// So many wait.
    pub(super) fn note_waiting(self, waiting: u64) {
        if waiting > self.words[HIGHEST].load(Relaxed) {
            self.words[HIGHEST].fetch_max(waiting, Relaxed);
        }
    }

    /// It waits no more, and had its turn after so many microseconds.
    pub(super) fn begins(self, waited: u64) {
        self.words[WAITING].fetch_sub(1, Relaxed);
        self.words[RUNNING].fetch_add(1, Relaxed);
        self.add(WAITS + bucket(waited), 1);
        self.words[WAIT_SUM].fetch_add(waited, Relaxed);
    }

    /// It waits no more, without its turn having come.
    pub(super) fn withdraws(self) {
        self.words[WAITING].fetch_sub(1, Relaxed);
    }

    /// Its turn has come after it was answered.
    pub(super) fn begins_late(self) {
        self.words[RUNNING].fetch_add(1, Relaxed);
    }

    /// Nothing runs for it any more.
    pub(super) fn ends(self) {
        self.words[RUNNING].fetch_sub(1, Relaxed);
    }

    /// It ran for so many microseconds.
    pub(super) fn ran(self, ran: u64) {
        self.add(RUNS + bucket(ran), 1);
        self.words[RUN_SUM].fetch_add(ran, Relaxed);
    }

    pub(super) fn answered(self, class: CodeClass) {
        self.add(CLASSES + class as usize, 1);
    }

    pub(super) fn happened(self, incident: Incident) {
        self.add(EVENTS + incident as usize, 1);
    }
}

/// The counts of an application, of one worker or of all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that wait now.
    pub waiting: u64,
    /// Requests that run now.
    pub running: u64,
    /// How many have waited at a time in one worker, at most.
    pub highest: u64,
    codes: [u64; CodeClass::ALL.len()],
    incidents: [u64; Incident::ALL.len()],
    /// How long requests have waited for their turn.
    pub waits: Histogram,
    /// How long they have run.
    pub runs: Histogram,
}

impl Figures {
    /// Those of one lane. What is now counts only if its worker lives.
    pub(super) fn read(words: &[AtomicU64], is_alive: bool) -> Self {
        let word = |index: usize| words.get(index).map_or(0, |word| word.load(Relaxed));
        let now = |index| if is_alive { small(word(index)) } else { 0 };
        let times = |first, sum| Histogram {
            counts: std::array::from_fn(|bucket| word(first + bucket)),
            sum: word(sum),
        };
        Self {
            waiting: now(WAITING),
            running: now(RUNNING),
            highest: word(HIGHEST),
            codes: std::array::from_fn(|code| word(CLASSES + code)),
            incidents: std::array::from_fn(|incident| word(EVENTS + incident)),
            waits: times(WAITS, WAIT_SUM),
            runs: times(RUNS, RUN_SUM),
        }
    }

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.highest = self.highest.max(other.highest);
        self.codes.iter_mut().zip(other.codes).for_each(|(own, more)| *own += more);
        self.incidents.iter_mut().zip(other.incidents).for_each(|(own, more)| *own += more);
        self.waits.add(&other.waits);
        self.runs.add(&other.runs);
    }

    /// Answers of a class.
    #[must_use]
    pub fn answers(&self, class: CodeClass) -> u64 {
        self.codes.get(class as usize).copied().unwrap_or(0)
    }

    /// All answers.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.codes.iter().sum()
    }

    /// Answers that are failures: 5xx.
    #[must_use]
    pub fn failures(&self) -> u64 {
        CodeClass::ALL.into_iter().filter(|class| class.is_failure()).map(|class| self.answers(class)).sum()
    }

    /// How often something has happened.
    #[must_use]
    pub fn incidents(&self, incident: Incident) -> u64 {
        self.incidents.get(incident as usize).copied().unwrap_or(0)
    }
}

/// A gauge that a reader has met between two writes, or that several workers share, may be below zero for a moment.
fn small(word: u64) -> u64 {
    if word > u64::MAX / 2 { 0 } else { word }
}

#[cfg(test)]
mod tests {
    use super::super::words::head;
    use super::*;

    fn lane(bounds: Option<(u64, u64)>) -> (WorkerLane, &'static [AtomicU64; LANE]) {
        let words: &'static [AtomicU64; LANE] =
            Box::leak(Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        (WorkerLane::new(words, head(), bounds), words)
    }

    #[test]
    fn what_is_counted_is_read() {
        let (lane, words) = lane(Some((1, 9)));
        for _ in 0..3 {
            lane.arrives();
        }
        lane.begins(300);
        let seen = Figures::read(words, true);
        assert_eq!((seen.waiting, seen.running, seen.highest), (2, 1, 2));
        lane.withdraws();
        lane.happened(Incident::QueueTimeout);
        lane.answered(CodeClass::of(504));
        lane.ran(1_000);
        lane.ends();
        lane.answered(CodeClass::of(204));
        let seen = Figures::read(words, true);
        assert_eq!((seen.waiting, seen.running, seen.highest), (1, 0, 2));
        assert_eq!((seen.requests(), seen.failures(), seen.answers(CodeClass::Success)), (2, 1, 1));
        assert_eq!((seen.waits.sum, seen.runs.sum, seen.runs.counts[2]), (300, 1_000, 1));
        assert_eq!((seen.incidents(Incident::QueueTimeout), seen.incidents(Incident::Replay)), (1, 0));
        assert_eq!(Figures::read(words, false).waiting, 0);
    }

    #[test]
    fn who_is_refused_has_not_waited() {
        let (bounded, words) = lane(Some((1, 2)));
        for _ in 0..5 {
            bounded.arrives();
        }
        assert_eq!(Figures::read(words, true).highest, 2);
        // Where there are several processes who lets requests wait says how many do.
        let (managed, words) = lane(None);
        for _ in 0..5 {
            managed.arrives();
        }
        assert_eq!(Figures::read(words, true).highest, 0);
        managed.note_waiting(3);
        assert_eq!(Figures::read(words, true).highest, 3);
    }

    #[test]
    fn workers_are_summed() {
        let ((one, first), (two, second)) = (lane(None), lane(None));
        one.answered(CodeClass::Success);
        two.answered(CodeClass::Success);
        one.note_waiting(3);
        two.note_waiting(9);
        two.begins(7);
        let mut all = Figures::read(first, true);
        all.add(&Figures::read(second, true));
        assert_eq!((all.requests(), all.highest, all.running, all.waits.count()), (2, 9, 1, 1));
        // It began without having come: no reader is to see a number of twenty digits.
        assert_eq!(all.waiting, 0);
    }

    #[test]
    fn every_status_has_a_class() {
        for (status, name) in [
            (101, "1xx"),
            (200, "2xx"),
            (299, "2xx"),
            (304, "3xx"),
            (404, "4xx"),
            (499, "499"),
            (500, "500"),
            (501, "5xx"),
            (502, "502"),
            (503, "503"),
            (504, "504"),
            (599, "5xx"),
            (0, "5xx"),
        ] {
            assert_eq!(CodeClass::of(status).name(), name, "{status}");
        }
        for (index, class) in CodeClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
        }
        for (index, incident) in Incident::ALL.into_iter().enumerate() {
            assert_eq!(incident as usize, index);
        }
    }
}
