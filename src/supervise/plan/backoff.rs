// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long to wait before the next attempt: 0.1 s at first, 30 s at most, and never for ever.

use std::time::Duration;

use super::Time;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// After one that took requests: somebody may come who waits for the next one.
const LONGEST_AFTER_DEATH: Duration = Duration::from_millis(1600);
/// After so many requests do not wait for the next one.
const DOWN: u32 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// Processes in a row that took requests, had none, and ended early.
    deaths: u32,
    next: Time,
}

fn pause(doubled: u32, longest: Duration) -> Duration {
    FIRST.saturating_mul(1 << doubled.min(16)).min(longest)
}

impl Backoff {
    /// None came to take requests. Answers how long the pause is.
    pub(super) fn failed(&mut self, now: Time) -> Duration {
        let pause = pause(self.failures, LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.next = now + pause;
        pause
    }

    /// One that took requests has ended early: somebody has killed it, or a request was too much for it. That says nothing of the
    /// next one.
    pub(super) fn died(&mut self, now: Time, has_served: bool) -> Duration {
        let pause = pause(self.deaths, LONGEST_AFTER_DEATH);
        self.deaths = if has_served { 0 } else { self.deaths.saturating_add(1) };
        self.next = self.next.max(now + pause);
        pause
    }

    /// One has ended that was there for long.
    pub(super) fn lasted(&mut self) {
        self.deaths = 0;
    }

    pub(super) fn succeeded(&mut self) {
        (self.failures, self.next) = (0, Time::ZERO);
    }

    pub(super) fn failures(self) -> u32 {
        self.failures
    }

    pub(super) fn is_down(self) -> bool {
        self.failures >= DOWN
    }

    /// When the next attempt may be made, if that is not now.
    pub(super) fn next(self, now: Time) -> Option<Time> {
        (now < self.next).then_some(self.next)
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
        backoff.succeeded();
        assert_eq!((backoff.failures(), backoff.failed(Time::ZERO)), (0, FIRST));
    }

    #[test]
    fn those_that_took_requests_are_no_failures() {
        let mut backoff = Backoff::default();
        let idle: Vec<_> = (0..6).map(|_| backoff.died(Time::ZERO, false).as_millis()).collect();
        assert_eq!(idle, [100, 200, 400, 800, 1600, 1600]);
        // That another one has come is no reason to forget it, and a request is.
        backoff.succeeded();
        assert_eq!(backoff.next(Time::ZERO), None);
        assert_eq!(backoff.died(Time::ZERO, true), LONGEST_AFTER_DEATH);
        assert_eq!([true, true].map(|served| backoff.died(Time::ZERO, served)), [FIRST, FIRST]);
        assert!(!backoff.is_down() && backoff.failures() == 0);
        backoff.died(Time::ZERO, false);
        backoff.lasted();
        assert_eq!(backoff.died(Time::ZERO, false), FIRST);
    }
}
