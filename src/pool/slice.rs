// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long a thread has had the application's lock.

use std::time::{Duration, Instant};

use super::plan::Held;
use crate::exchange::LATE;

/// A thread gives way after so long. Less than the 5 ms after which CPython makes a thread give its lock up in the
/// middle of a request, by as much as the request takes that runs then.
const SLICE: Duration = Duration::from_millis(2);

/// A request of this length may have waited for something, without the lock.
const WAITED: Duration = Duration::from_micros(500);

/// The time between enter() and leave().
pub(super) struct Slice {
    entered: Instant,
    /// The last moment at which it may have been without the lock.
    steady: Instant,
    /// The end of the last request.
    last: Instant,
    /// How long it took.
    length: Duration,
    /// When this thread's processor time was read last, and what it was.
    read: Option<(Instant, Duration)>,
    /// The last request has waited for something.
    waited: bool,
}

/// Requests of less than this come so thick that the server wakes once for many of them anyway.
const SHORT: Duration = Duration::from_micros(20);

impl Slice {
    /// `used`: the thread's processor time, where requests have been seen to wait.
    pub(super) fn new(now: Instant, used: Option<Duration>) -> Self {
        let read = used.map(|used| (now, used));
        Self { entered: now, steady: now, last: now, length: Duration::ZERO, read, waited: false }
    }

    /// A request has ended. `used` tells the thread's processor time; it costs a system call and is asked for long requests alone.
    pub(super) fn handled(&mut self, now: Instant, used: impl FnOnce() -> Duration) -> Held {
        let entered = now.duration_since(self.entered);
        // Mostly the first request is the only one; a difference of two times is dear.
        self.length = if self.last == self.entered { entered } else { now.duration_since(self.last) };
        self.waited = false;
        if self.length >= WAITED {
            self.steady = now;
            let used = used();
            let before = self.read.replace((now, used));
            // Without an earlier reading it is believed; the next ones are known better.
            self.waited =
                before.is_none_or(|(then, had)| used.saturating_sub(had) * 2 < now.duration_since(then));
        }
        self.last = now;
        // It has been steady for no longer than it has been in.
        if entered < SLICE {
            Held::Briefly
        } else if now.duration_since(self.steady) >= SLICE {
            Held::Long
        } else {
            Held::Perhaps
        }
    }

    /// When the next request begins: at the end of the one before it, which saves a look at the clock.
    pub(super) fn next_begins(&self) -> Instant {
        self.last
    }

    /// Whether the last request waited for something rather than computed: at least [`WAITED`] long, and for less than half
    /// of it on a processor.
    pub(super) fn waited(&self) -> bool {
        self.waited
    }

    /// Whether another request like the last one ends while its response is kept for a moment.
    pub(super) fn ends_soon(&self) -> bool {
        (SHORT..=LATE).contains(&self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thread has heard after requests of these lengths.
    fn after(requests: impl IntoIterator<Item = Duration>) -> Vec<Held> {
        let mut now = Instant::now();
        let mut slice = Slice::new(now, None);
        let handled = |length| {
            now += length;
            slice.handled(now, || Duration::ZERO)
        };
        requests.into_iter().map(handled).collect()
    }

    #[test]
    fn short_requests_add_up() {
        let held = after([Duration::from_micros(100); 25]);
        assert_eq!(held[..19], [Held::Briefly; 19]);
        assert_eq!(held[19..], [Held::Long; 6]);
    }

    #[test]
    fn a_request_that_may_have_waited_begins_anew() {
        let mut requests = vec![Duration::from_micros(1999), Duration::from_millis(50)];
        requests.extend([Duration::from_micros(400); 6]);
        let held = after(requests);
        assert_eq!(held[..2], [Held::Briefly, Held::Perhaps]);
        assert_eq!(held[2..6], [Held::Perhaps; 4]);
        assert_eq!(held[6..], [Held::Long; 2]);
    }

    #[test]
    fn only_requests_of_a_certain_length_are_worth_waiting_for() {
        let mut now = Instant::now();
        let mut slice = Slice::new(now, None);
        assert!(!slice.ends_soon(), "nothing is known of the first one");
        for (micros, worth) in [(5, false), (20, true), (60, true), (150, true), (151, false), (5000, false)]
        {
            now += Duration::from_micros(micros);
            slice.handled(now, || Duration::ZERO);
            assert_eq!(slice.ends_soon(), worth, "{micros}");
        }
    }

    #[test]
    fn a_request_that_computed_did_not_wait() {
        let (start, micros) = (Instant::now(), Duration::from_micros);
        for (length, used, waited) in
            [(499, 0, false), (500, 249, true), (500, 250, false), (9000, 100, true)]
        {
            let mut slice = Slice::new(start, Some(micros(77)));
            slice.handled(start + micros(length), || micros(77 + used));
            assert_eq!(slice.waited(), waited, "{used} of {length}");
        }
        let mut slice = Slice::new(start, None);
        slice.handled(start + micros(800), || micros(800));
        assert!(slice.waited(), "nothing is known of the time before");
        slice.handled(start + micros(900), || unreachable!("a short one"));
        assert!(!slice.waited());
        slice.handled(start + micros(1800), || micros(1790));
        assert!(!slice.waited(), "since the last reading it has computed");
    }

    #[test]
    fn the_slice_ends_before_the_interpreter_takes_the_lock_away() {
        let interval = Duration::from_millis(5);
        assert!(SLICE + WAITED < interval, "the longest request that does not count as one that waited");
    }
}
