// SPDX-License-Identifier: MIT OR Apache-2.0
//! Admission: so many at a time, so many wait, first come first served. For requests in an event loop, so
//! nothing here waits, and what waits may be anything. Threads have a [`Gate`](super::gate).

use std::collections::VecDeque;

use super::Refusal;

/// What happens to one that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It runs.
    Runs,
    /// It waits.
    Waits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdmissionPhase {
    /// All who come wait.
    Closed,
    /// There is a place for as many as may.
    Open,
    /// Nobody is let in any more.
    Stopping,
}

/// Places and those who wait for one. Every one that was let in gives its place back once.
///
/// ```text
/// Closed --open--> Open --stop--> Stopping
///    \-------------stop------------/
/// ```
#[derive(Debug)]
pub struct AdmissionQueue<T> {
    phase: AdmissionPhase,
    places: usize,
    room: usize,
    running: usize,
    waiting: VecDeque<T>,
}

impl<T> AdmissionQueue<T> {
    /// A closed one: so many run at a time, and so many wait.
    #[must_use]
    pub fn new(places: usize, room: usize) -> Self {
        Self { phase: AdmissionPhase::Closed, places, room, running: 0, waiting: VecDeque::new() }
    }

    /// Lets them in from now on: those who wait are called by [`AdmissionQueue::call`].
    pub fn open(&mut self) {
        if self.phase == AdmissionPhase::Closed {
            self.phase = AdmissionPhase::Open;
        }
    }

    /// One comes. `who` is made only where it has to wait.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Stopping`].
    pub fn admit(&mut self, who: impl FnOnce() -> T) -> Result<Admission, Refusal> {
        let room = match self.phase {
            AdmissionPhase::Stopping => return Err(Refusal::Stopping),
            // Where requests may not wait, the first of them waits for the opening all the same.
            AdmissionPhase::Closed => self.room.max(1),
            AdmissionPhase::Open => self.room,
        };
        if self.phase == AdmissionPhase::Open && self.waiting.is_empty() && self.running < self.places {
            self.running += 1;
            return Ok(Admission::Runs);
        }
        if self.waiting.len() >= room {
            return Err(Refusal::Full);
        }
        self.waiting.push_back(who());
        Ok(Admission::Waits)
    }

    /// The next one that waits has a free place from now on.
    pub fn call(&mut self) -> Option<T> {
        if self.phase != AdmissionPhase::Open || self.running >= self.places {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// A place is free. Answers who has it now.
    pub fn leave(&mut self) -> Option<T> {
        self.running = self.running.saturating_sub(1);
        self.call()
    }

    /// One that waits goes away. Answers whether it did wait.
    pub fn withdraw(&mut self, is_it: impl FnMut(&T) -> bool) -> bool {
        let place = self.waiting.iter().position(is_it);
        place.is_some_and(|index| self.waiting.remove(index).is_some())
    }

    /// Nobody is let in any more. Those who wait stay until they withdraw.
    pub fn stop(&mut self) {
        self.phase = AdmissionPhase::Stopping;
    }

    /// Whether nobody is let in any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.phase == AdmissionPhase::Stopping
    }

    /// Those who wait, in their order.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &T> {
        self.waiting.iter()
    }

    /// How many run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: Result<Admission, Refusal> = Ok(Admission::Runs);
    const WAITS: Result<Admission, Refusal> = Ok(Admission::Waits);
    const FULL: Result<Admission, Refusal> = Err(Refusal::Full);

    fn open(places: usize, room: usize) -> AdmissionQueue<u32> {
        let mut queue = AdmissionQueue::new(places, room);
        queue.open();
        queue
    }

    #[test]
    fn so_many_run_and_the_others_wait_in_their_order() {
        let mut queue = open(2, 2);
        let answers: Vec<_> = (0..5).map(|who| queue.admit(|| who)).collect();
        assert_eq!(answers, [RUNS, RUNS, WAITS, WAITS, FULL]);
        assert_eq!(queue.leave(), Some(2));
        assert_eq!(queue.admit(|| 9), WAITS);
        assert!(queue.withdraw(|who| *who == 3) && !queue.withdraw(|who| *who == 3));
        assert_eq!(queue.leave(), Some(9));
        assert_eq!((queue.leave(), queue.leave(), queue.running()), (None, None, 0));
        assert_eq!(queue.admit(|| 1), RUNS);
    }

    #[test]
    fn nobody_overtakes_those_who_wait() {
        let mut queue = open(1, 1);
        assert_eq!([queue.admit(|| 1), queue.admit(|| 2), queue.admit(|| 3)], [RUNS, WAITS, FULL]);
        assert_eq!(queue.leave(), Some(2));
        assert_eq!((queue.running(), queue.waiting().len()), (1, 0));
    }

    #[test]
    fn a_closed_one_holds_and_a_stopped_one_refuses() {
        let mut queue = AdmissionQueue::new(2, 0);
        assert_eq!([queue.admit(|| 1), queue.admit(|| 2)], [WAITS, FULL]);
        assert_eq!(queue.call(), None);
        queue.open();
        assert_eq!((queue.call(), queue.call()), (Some(1), None));
        queue.stop();
        queue.open();
        assert_eq!(queue.admit(|| 3), Err(Refusal::Stopping));
        assert_eq!((queue.leave(), queue.running()), (None, 0));
    }

    proptest::proptest! {
        #[test]
        fn places_are_never_lost(steps in proptest::collection::vec(0u8..5, 0..200)) {
            let mut queue = AdmissionQueue::new(3, 4);
            let (mut running, mut waiting, mut next) = (0usize, VecDeque::new(), 0u32);
            for step in steps {
                match step {
                    0 | 1 => {
                        match queue.admit(|| next) {
                            RUNS => running += 1,
                            WAITS => waiting.push_back(next),
                            Err(_) => {}
                            }
                        next += 1;
                    }
                    2 if running > 0 => {
                        running -= 1;
                        let called = queue.leave();
                        if called.is_some() {
                            proptest::prop_assert_eq!(called, waiting.pop_front());
                            running += 1;
                        }
                    }
                    3 => {
                        let last = waiting.pop_back();
                        proptest::prop_assert_eq!(queue.withdraw(|who| Some(*who) == last), last.is_some());
                    }
                    _ => {
                        queue.open();
                        while let Some(called) = queue.call() {
                            proptest::prop_assert_eq!(Some(called), waiting.pop_front());
                            running += 1;
                        }
                    }
                }
                proptest::prop_assert_eq!(queue.running(), running);
                proptest::prop_assert!(queue.waiting().eq(&waiting));
                proptest::prop_assert!(running <= 3 && waiting.len() <= 4);
            }
        }
    }
}
