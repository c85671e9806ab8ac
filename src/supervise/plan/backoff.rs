// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long to wait before the next attempt: 0.1 s at first, 30 s at most, and never for ever.

use std::time::Duration;

use super::Time;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// After so many requests do not wait for the next one.
const DOWN: u32 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    next: Time,
}

impl Backoff {
    /// Answers how long the pause is.
    pub(super) fn failed(&mut self, now: Time) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.next = now + pause;
        pause
    }

    /// The same for a process that has worked before it ended: there is a pause, and the next one will be able to start.
    pub(super) fn failed_at_work(&mut self, now: Time) -> Duration {
        self.failures = self.failures.min(DOWN - 2);
        self.failed(now)
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failures(self) -> u32 {
        self.failures
    }

    pub(super) fn is_down(self) -> bool {
        self.failures >= DOWN
    }

    /// When the next attempt may be made, if that is not now.
    pub(super) fn next(self, now: Time) -> Option<Time> {
        (self.failures > 0 && now < self.next).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..12).map(|_| backoff.failed(Time::ZERO).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.next(Duration::from_secs(29)), Some(LONGEST));
        assert_eq!(backoff.next(LONGEST), None);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.failed(Time::ZERO), LONGEST);
        backoff.failed_at_work(Time::ZERO);
        assert!(!backoff.is_down());
        backoff.succeeded();
        assert_eq!((backoff.failures(), backoff.failed(Time::ZERO)), (0, FIRST));
    }
}
