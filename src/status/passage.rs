// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request on its way through an application, as its worker counts it. It comes, has its turn, is answered, and ends: each
//! counts once, in whatever order several threads say so.
//!
//! ```text
//! arrives -> begins -> answered -> ended          a handler or a process has run
//!         \-> answered                            it was refused, or has left while it waited
//!             begins -> answered ... ended        its time was over, and its handler still runs
//! ```

use std::{
    sync::{
        OnceLock,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use super::lane::{CodeClass, Incident, WorkerLane};
use crate::sys::nanoseconds;

/// Where a worker counts the requests of an application. The default one counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally(pub(super) Option<WorkerLane>);

impl Tally {
    /// Something has happened.
    pub fn happened(self, incident: Incident) {
        if let Some(lane) = self.0 {
            lane.happened(incident);
        }
    }

    /// The application cannot run in this worker for this reason, or, if that is empty, it can.
    pub fn note_health(self, reason: &str) {
        if let Some(lane) = self.0 {
            lane.note_health(reason);
        }
    }

    /// So many wait, in all workers.
    pub fn note_waiting(self, waiting: usize) {
        if let Some(lane) = self.0 {
            lane.note_waiting(waiting as u64);
        }
    }
}

/// In nanoseconds.
const MICROSECOND: u64 = 1000;

const BEGUN: u8 = 1;
const ANSWERED: u8 = 2;
const ENDED: u8 = 4;

/// A request.
#[derive(Debug)]
pub struct Passage {
    tally: Tally,
    /// When it came and when its turn came, in nanoseconds of the clock that nobody sets: differences of those cost little.
    arrived: u64,
    begun: AtomicU64,
    /// When its turn came, where nothing is counted.
    uncounted: OnceLock<Instant>,
    /// For how long it ran, in microseconds.
    ran: AtomicU64,
    state: AtomicU8,
}

impl Passage {
    /// A request comes. Nothing is counted, and no clock is read, where the tally counts nothing.
    #[must_use]
    pub fn arrive(tally: Tally) -> Self {
        let arrived = tally.0.map_or(0, |lane| {
            lane.arrives();
            nanoseconds()
        });
        Self {
            tally,
            arrived,
            begun: AtomicU64::new(0),
            uncounted: OnceLock::new(),
            ran: AtomicU64::new(0),
            state: AtomicU8::new(0),
        }
    }

    /// Where it is counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Its turn has come, now, or at `then` where nothing is counted. It comes once.
    pub fn begin(&self, then: Instant) {
        let Some(lane) = self.tally.0 else {
            let _ = self.uncounted.set(then);
            return;
        };
        if self.begun.load(Relaxed) != 0 {
            return;
        }
        let now = nanoseconds();
        self.begun.store(now, Relaxed);
        let before = self.state.fetch_or(BEGUN, AcqRel);
        match (before & ANSWERED != 0, before & ENDED != 0) {
            (false, false) => lane.begins(now.saturating_sub(self.arrived) / MICROSECOND),
            (true, false) => lane.begins_late(),
            // Nothing will run.
            (false, true) => lane.withdraws(),
            (true, true) => {}
        }
    }

    /// Whether its turn has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Relaxed) != 0 || self.uncounted.get().is_some()
    }

    /// For how long it has run.
    #[must_use]
    pub fn has_run(&self) -> Option<Duration> {
        match self.begun.load(Relaxed) {
            0 => self.uncounted.get().map(Instant::elapsed),
            begun => Some(Duration::from_nanos(nanoseconds().saturating_sub(begun))),
        }
    }

    /// It was answered with this status. The first answer counts.
    pub fn answer(&self, status: u16) {
        let Some(lane) = self.tally.0 else { return };
        let before = self.state.fetch_or(ANSWERED, AcqRel);
        if before & ANSWERED != 0 {
            return;
        }
        lane.answered(CodeClass::of(status));
        if before & BEGUN == 0 {
            lane.withdraws();
        } else {
            let ran = nanoseconds().saturating_sub(self.begun.load(Relaxed)) / MICROSECOND;
            self.ran.store(ran, Relaxed);
            lane.ran(ran);
        }
    }

    /// Whether it was answered.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.state.load(Relaxed) & ANSWERED != 0
    }

    /// Its client has left. Nothing happens if it was answered.
    pub fn leave(&self) {
        self.answer(499);
    }

    /// What ran for it has ended.
    pub fn end(&self) {
        let Some(lane) = self.tally.0 else { return };
        let before = self.state.fetch_or(ENDED, AcqRel);
        if before & ENDED == 0 && before & BEGUN != 0 {
            lane.ends();
        }
    }

    /// It is answered, and nothing runs for it.
    pub fn close(&self, status: u16) {
        self.answer(status);
        self.end();
    }

    /// It was not let in.
    pub fn refuse(&self, why: Incident, status: u16) {
        self.tally.happened(why);
        self.close(status);
    }

    /// How long it waited for its turn, and how long it has run, or ran until it was answered. `None` for what did not come, and
    /// where nothing is counted.
    #[must_use]
    pub fn times(&self) -> (Option<Duration>, Option<Duration>) {
        if self.tally.0.is_none() {
            return (None, None);
        }
        let begun = self.begun.load(Relaxed);
        let until = if begun == 0 { nanoseconds() } else { begun };
        let queue = Duration::from_nanos(until.saturating_sub(self.arrived));
        let run = self.has_run().map(|running| match self.is_answered() {
            true => Duration::from_micros(self.ran.load(Relaxed)),
            false => running,
        });
        (Some(queue), run)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.leave();
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::{
        super::{
            lane::{Figures, LANE},
            words::head,
        },
        *,
    };

    fn tally() -> (Tally, impl Fn() -> Figures) {
        let words: &'static [AtomicU64; LANE] =
            Box::leak(Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        (Tally(Some(WorkerLane::new(words, head(), Some((2, 9))))), move || Figures::read(words, true))
    }

    #[test]
    fn each_step_counts_once() {
        let (tally, seen) = tally();
        let request = Passage::arrive(tally);
        assert_eq!((seen().waiting, seen().running), (1, 0));
        request.begin(Instant::now());
        request.begin(Instant::now());
        assert_eq!((seen().waiting, seen().running, seen().waits.count()), (0, 1, 1));
        request.answer(404);
        request.answer(200);
        request.end();
        request.end();
        drop(request);
        assert_eq!((seen().waiting, seen().running, seen().requests(), seen().runs.count()), (0, 0, 1, 1));
        assert_eq!(seen().answers(CodeClass::ClientError), 1);
    }

    #[test]
    fn one_that_goes_without_a_word_has_left() {
        let (tally, seen) = tally();
        drop(Passage::arrive(tally));
        let second = Passage::arrive(tally);
        second.begin(Instant::now());
        drop(second);
        assert_eq!((seen().waiting, seen().running, seen().answers(CodeClass::Left)), (0, 0, 2));
    }

    #[test]
    fn a_handler_that_goes_on_after_the_answer_still_runs() {
        let (tally, seen) = tally();
        let request = Passage::arrive(tally);
        request.begin(Instant::now());
        request.answer(504);
        assert_eq!((seen().running, seen().requests()), (1, 1));
        request.end();
        assert_eq!(seen().running, 0);
    }

    #[test]
    fn a_turn_after_the_answer_leaves_nothing_behind() {
        let (tally, seen) = tally();
        let request = Passage::arrive(tally);
        request.leave();
        request.begin(Instant::now());
        assert_eq!((seen().waiting, seen().running), (0, 1));
        drop(request);
        assert_eq!((seen().waiting, seen().running, seen().waits.count()), (0, 0, 0));
    }

    #[test]
    fn nothing_is_counted_nowhere() {
        let request = Passage::arrive(Tally::default());
        request.begin(Instant::now());
        request.refuse(Incident::QueueFull, 503);
        assert_eq!(request.times().0, None);
        assert!(request.has_begun() && request.has_run().is_some());
    }

    proptest::proptest! {
        /// Whatever is said in whatever order: one answer, and nothing waits or runs after the end.
        #[test]
        fn the_end_is_the_end(steps in proptest::collection::vec(0u8..4, 0..12)) {
            let (tally, seen) = tally();
            let request = Passage::arrive(tally);
            for step in steps {
                match step {
                    0 => request.begin(Instant::now()),
                    1 => request.answer(200),
                    2 => request.leave(),
                    _ => request.end(),
                }
            }
            drop(request);
            let seen = seen();
            proptest::prop_assert_eq!((seen.waiting, seen.running, seen.requests()), (0, 0, 1));
        }
    }
}
