// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the handlers of the application have been like of late, and what sees to it that nothing waits behind one of them.
//!
//! While handlers are *brisk* one thread runs them one after the other, and sends their responses together: a second one would only wait
//! for the interpreter's lock. Whatever waits then is looked after in a moment, by any thread that waits for events: a timer is set when
//! there is something, and only once until it has rung.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use gangway::sys::TimerFd;

/// A handler that takes no less is not brisk.
const LONG: Duration = Duration::from_micros(500);
/// What one of those adds to the weight of such handlers; any other takes 1 away.
const ADDED: u8 = 3;
/// From this weight on handlers are not brisk: two in a row are enough.
const HEAVY: u8 = 4;
/// The weight is never more, so that it is soon seen that they are brisk again.
const HEAVIEST: u8 = 12;
/// A response may wait for the next ones after a handler of no more than this.
const SHORT: Duration = Duration::from_micros(150);
/// How long nothing may happen before another thread takes over.
const MOMENT: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Pace {
    weight: AtomicU8,
    /// Requests that were taken, and how many there were when the timer was set.
    taken: AtomicU64,
    before: AtomicU64,
    is_set: AtomicBool,
    timer: TimerFd,
}

impl Pace {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            weight: AtomicU8::new(0),
            taken: AtomicU64::new(0),
            before: AtomicU64::new(0),
            is_set: AtomicBool::new(false),
            timer: TimerFd::new()?,
        })
    }

    /// What the threads wait for, with other events.
    pub(crate) fn timer(&self) -> &TimerFd {
        &self.timer
    }

    /// A handler has taken so long. Answers whether its response may wait for the next ones.
    pub(crate) fn ended(&self, length: Duration) -> bool {
        let weight = self.weight.load(SeqCst);
        let next = if length >= LONG { HEAVIEST.min(weight + ADDED) } else { weight.saturating_sub(1) };
        if next != weight {
            // Two threads at a time may count as one.
            self.weight.store(next, SeqCst);
        }
        next < HEAVY && length <= SHORT
    }

    /// Whether one thread had better run them one after the other.
    pub(crate) fn is_brisk(&self) -> bool {
        self.weight.load(SeqCst) < HEAVY
    }

    /// A request is taken.
    pub(crate) fn take(&self) {
        self.taken.fetch_add(1, SeqCst);
    }

    /// Something waits: somebody looks after it in a moment.
    pub(crate) fn look_soon(&self) {
        if !self.is_set.swap(true, SeqCst) {
            self.before.store(self.taken.load(SeqCst), SeqCst);
            self.timer.set(MOMENT);
        }
    }

    /// The moment is over. Answers whether nothing has been taken meanwhile.
    pub(crate) fn rang(&self) -> bool {
        let before = self.before.load(SeqCst);
        self.is_set.store(false, SeqCst);
        self.taken.load(SeqCst) == before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_long_ones_in_a_row_are_enough_and_one_in_five_is_not() {
        let pace = Pace::new().unwrap();
        let run = |micros| {
            pace.ended(Duration::from_micros(micros));
            pace.is_brisk()
        };
        assert!(run(10) && run(500) && !run(500));
        assert!((0..3).any(|_| run(10)) && (0..3).all(|_| run(10)));
        for _ in 0..100 {
            assert!(run(9000) && run(20) && run(20) && run(20) && run(20));
        }
    }

    #[test]
    fn only_short_ones_let_their_responses_wait() {
        let pace = Pace::new().unwrap();
        assert!(pace.ended(Duration::from_micros(150)) && !pace.ended(Duration::from_micros(151)));
    }

    #[test]
    fn the_timer_rings_once_and_tells_whether_others_get_on() {
        let pace = Pace::new().unwrap();
        pace.look_soon();
        pace.look_soon();
        assert!(pace.rang());
        pace.look_soon();
        pace.take();
        assert!(!pace.rang());
    }
}
