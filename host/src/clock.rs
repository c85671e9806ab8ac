// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long an application has been silent.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How long an application has been silent. What the web server makes it wait for is not its time.
pub(crate) struct Clock {
    base: Instant,
    /// Milliseconds after `base`; [`PAUSED`] while the web server is waited for.
    since: AtomicU64,
}

const PAUSED: u64 = u64::MAX;

impl Clock {
    /// That of a request which has waited for so long before it came here.
    pub(crate) fn of_one_that_waited(waited: Duration) -> Self {
        let now = Instant::now();
        let base = now.checked_sub(waited).unwrap_or(now);
        let clock = Self { base, since: AtomicU64::new(0) };
        clock.restart();
        clock
    }

    pub(crate) fn pause(&self) {
        self.since.store(PAUSED, Relaxed);
    }

    pub(crate) fn restart(&self) {
        let now = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(PAUSED - 1);
        self.since.store(now, Relaxed);
    }

    /// When the request came.
    pub(crate) fn base(&self) -> Instant {
        self.base
    }

    /// Since when it has been silent; nothing while the web server is waited for.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        match self.since.load(Relaxed) {
            PAUSED => None,
            since => Some(self.base + Duration::from_millis(since)),
        }
    }
}
