// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who runs and who waits, for a server that must not block: so many at a time, first come first served.

use std::collections::VecDeque;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It runs.
    Now,
    /// It waits.
    Waits,
    /// As many wait as may: 503.
    Full,
}

/// Places and those who wait for one. Every request that was let in gives its place back once.
#[derive(Debug)]
pub struct Line<T> {
    places: usize,
    room: usize,
    taken: usize,
    waiting: VecDeque<T>,
}

impl<T: PartialEq> Line<T> {
    /// So many run at a time, and so many wait.
    #[must_use]
    pub fn new(places: usize, room: usize) -> Self {
        Self { places, room, taken: 0, waiting: VecDeque::new() }
    }

    /// A request comes.
    pub fn admit(&mut self, who: T) -> Admission {
        if self.taken < self.places && self.waiting.is_empty() {
            self.taken += 1;
            return Admission::Now;
        }
        if self.waiting.len() >= self.room {
            return Admission::Full;
        }
        self.waiting.push_back(who);
        Admission::Waits
    }

    /// A place is free. Answers who has it now.
    pub fn leave(&mut self) -> Option<T> {
        self.taken = self.taken.saturating_sub(1);
        if self.taken >= self.places {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.taken += 1;
        Some(next)
    }

    /// A request that waits goes away. Answers whether it did wait.
    pub fn withdraw(&mut self, who: &T) -> bool {
        let place = self.waiting.iter().position(|other| other == who);
        place.is_some_and(|index| self.waiting.remove(index).is_some())
    }

    /// How many run and how many wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.taken, self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_run_and_the_others_wait_in_their_order() {
        let mut line = Line::new(2, 2);
        let answers: Vec<_> = (0..5).map(|who| line.admit(who)).collect();
        assert_eq!(
            answers,
            [Admission::Now, Admission::Now, Admission::Waits, Admission::Waits, Admission::Full]
        );
        assert_eq!(line.leave(), Some(2));
        assert_eq!(line.admit(9), Admission::Waits);
        assert!(line.withdraw(&3) && !line.withdraw(&3));
        assert_eq!(line.leave(), Some(9));
        assert_eq!((line.leave(), line.leave(), line.counts()), (None, None, (0, 0)));
        assert_eq!(line.admit(1), Admission::Now);
    }

    #[test]
    fn nobody_overtakes_those_who_wait() {
        let mut line = Line::new(1, 1);
        assert_eq!(
            (line.admit(1), line.admit(2), line.admit(3)),
            (Admission::Now, Admission::Waits, Admission::Full)
        );
        assert_eq!(line.leave(), Some(2));
        assert_eq!(line.counts(), (1, 0));
    }

    proptest::proptest! {
        #[test]
        fn places_are_never_lost(steps in proptest::collection::vec(0u8..3, 0..200)) {
            let mut line = Line::new(3, 4);
            let (mut running, mut next) = (0usize, 0u32);
            for step in steps {
                match step {
                    0 => {
                        running += usize::from(line.admit(next) == Admission::Now);
                        next += 1;
                    }
                    1 if running > 0 => running = running - 1 + usize::from(line.leave().is_some()),
                    _ => {
                        line.withdraw(&next.saturating_sub(1));
                    }
                }
                let (taken, waiting) = line.counts();
                proptest::prop_assert_eq!(taken, running);
                proptest::prop_assert!(taken <= 3 && waiting <= 4 && (waiting == 0 || taken == 3));
            }
        }
    }
}
