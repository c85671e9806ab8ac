// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an application's handlers have been like of late: whether they wait for something, and how long they take.

use std::time::Duration;

/// What a handler that has waited for something adds to the weight of such handlers; any other takes 1 away.
const ADDED: u8 = 2;
/// From this weight on handlers are taken to wait: two in a row are enough, one in three never adds up to it.
const WAITING: u8 = 3;
/// The weight is never more, so that handlers that wait no longer are noticed after a few.
const HEAVIEST: u8 = 2 * ADDED;
/// A handler that takes less is not worth a question.
const BRIEF: Duration = Duration::from_micros(100);
/// From this usual length on the thread's clock is read, so that it is known for the long ones what they did: a system call.
const TIMED: Duration = Duration::from_micros(50);
/// The most that a handler is taken to compute before it is taken to wait.
const LONG: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
pub(super) struct Handlers {
    weight: u8,
    /// The moving average of the length of those that did not wait, in nanoseconds.
    usual: u32,
}

impl Handlers {
    /// A handler has taken so long; `used`: how much of it on a processor, where that is known.
    pub(super) fn ended(&mut self, length: Duration, used: Option<Duration>) {
        // Without a reading it is believed; the next ones are known better.
        let waited = length >= BRIEF && used.is_none_or(|used| used * 2 < length);
        if waited {
            self.weight = HEAVIEST.min(self.weight + ADDED);
        } else {
            self.weight = self.weight.saturating_sub(1);
            // None is longer than a second.
            self.usual = (self.usual * 7 + length.min(LONG).subsec_nanos()) / 8;
        }
    }

    /// Whether they wait for something of their own, and leave an interpreter's lock to others meanwhile.
    pub(super) fn wait(&self) -> bool {
        self.weight >= WAITING
    }

    /// Whether the thread's clock is to be read when a handler begins.
    pub(super) fn are_timed(&self) -> bool {
        self.weight > 0 || self.usual >= TIMED.subsec_nanos()
    }

    /// After so long a handler waits for something, or takes so much longer than others that it does not matter.
    pub(super) fn brief(&self) -> Duration {
        Duration::from_nanos(u64::from(self.usual) * 3).clamp(BRIEF, LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn two_that_wait_in_a_row_are_enough_and_a_few_that_do_not_are() {
        let mut handlers = Handlers::default();
        let mut waits = |length, used: Option<u64>| {
            handlers.ended(micros(length), used.map(micros));
            handlers.wait()
        };
        let seen = [
            waits(10_000, None),
            waits(300, Some(149)),
            waits(300, Some(150)),
            waits(99, None),
            waits(200, Some(10)),
            waits(200, Some(200)),
        ];
        assert_eq!(seen, [false, true, true, false, true, true]);
        assert!(!waits(20, None));
    }

    #[test]
    fn one_in_three_that_waits_never_adds_up() {
        let mut handlers = Handlers::default();
        for _ in 0..100 {
            handlers.ended(micros(5000), Some(micros(40)));
            handlers.ended(micros(40), None);
            handlers.ended(micros(40), None);
            assert!(!handlers.wait());
        }
    }

    #[test]
    fn what_is_brief_follows_what_is_usual() {
        let mut handlers = Handlers::default();
        assert_eq!((handlers.brief(), handlers.are_timed()), (micros(100), false));
        (0..64).for_each(|_| handlers.ended(micros(20), None));
        assert_eq!((handlers.brief(), handlers.are_timed()), (micros(100), false));
        (0..64).for_each(|_| handlers.ended(micros(200), Some(micros(200))));
        assert!((micros(590)..=micros(600)).contains(&handlers.brief()) && handlers.are_timed());
        (0..64).for_each(|_| handlers.ended(micros(9000), Some(micros(9000))));
        assert_eq!(handlers.brief(), micros(1000));
        handlers.ended(micros(9000), None);
        assert_eq!(handlers.brief(), micros(1000), "one that waited says nothing of those that compute");
    }
}
