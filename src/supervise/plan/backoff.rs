// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long to wait before the next attempt: 0.1 s at first, 30 s at most, and never for ever. Only who died again and again is waited for.

use std::time::Duration;

use super::{STABLE, Time};

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
    /// Processes in a row that took requests and ended early: see [`Backoff::died`].
    deaths: u32,
    /// When the last of them did.
    died_at: Time,
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
    /// next one, which comes at once; unless the one before has ended like this a moment ago.
    pub(super) fn died(&mut self, now: Time, has_served: bool) -> Duration {
        if self.died_at + STABLE <= now {
            self.deaths = 0;
        }
        let pause =
            self.deaths.checked_sub(1).map_or(Duration::ZERO, |again| pause(again, LONGEST_AFTER_DEATH));
        self.deaths = if has_served { 1 } else { self.deaths.saturating_add(1) };
        self.died_at = now;
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
        let idle: Vec<_> = (0..7).map(|_| backoff.died(Time::ZERO, false).as_millis()).collect();
        assert_eq!(idle, [0, 100, 200, 400, 800, 1600, 1600]);
        // That another one has come is no reason to forget it, and a request is.
        backoff.succeeded();
        assert_eq!(backoff.next(Time::ZERO), None);
        assert_eq!(backoff.died(Time::ZERO, true), LONGEST_AFTER_DEATH);
        assert_eq!([true, true].map(|served| backoff.died(Time::ZERO, served)), [FIRST, FIRST]);
        assert!(!backoff.is_down() && backoff.failures() == 0);
        backoff.died(Time::ZERO, false);
        backoff.lasted();
        assert_eq!(backoff.died(Time::ZERO, false), Duration::ZERO);
    }

    #[test]
    fn the_first_that_dies_after_a_while_is_replaced_at_once() {
        let mut backoff = Backoff::default();
        let deaths = [1, 2, 11, 12, 22, 32].map(|second| backoff.died(Duration::from_secs(second), true));
        let (at_once, again) = (Duration::ZERO, FIRST);
        assert_eq!(deaths, [at_once, again, again, again, at_once, at_once]);
    }
}
