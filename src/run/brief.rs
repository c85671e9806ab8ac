// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether scripts usually end right after their output.

use std::{
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What the scripts of one directive usually do. A script that writes once and ends makes two events, and at each of them a
/// waiting thread wakes up and takes the processor from it. Where that is usual, its end alone is waited for, for
/// [`BriefRuns::BRIEF`] at most. Any thread may use it.
#[derive(Debug, Default)]
pub struct BriefRuns(AtomicU8);

impl BriefRuns {
    /// The longest life of a brief script, and so the longest time that the first output of another one is held.
    pub const BRIEF: Duration = Duration::from_millis(10);
    /// The most output of a brief script. A pipe holds more, so such a script never waits for its reader.
    pub const OUTPUT: usize = 32 * 1024;

    const BELIEVED: u8 = 4;
    const MOST: u8 = 8;
    /// One that is not brief counts as much as some that are: holding its output is worse than waking up twice.
    const STEP_BACK: u8 = 3;

    /// Whether the next one will probably be brief.
    #[must_use]
    pub fn is_brief(&self) -> bool {
        self.0.load(Relaxed) >= Self::BELIEVED
    }

    /// Takes note of one that has ended its output: after this time, with so many bytes.
    pub fn ended(&self, after: Duration, output: usize) {
        if after < Self::BRIEF && output <= Self::OUTPUT {
            self.set(|count| Some(count + 1).filter(|count| *count <= Self::MOST));
        } else {
            self.went_on();
        }
    }

    /// Takes note of one that was not brief.
    pub fn went_on(&self) {
        self.set(|count| Some(count.saturating_sub(Self::STEP_BACK)));
    }

    fn set(&self, change: impl FnMut(u8) -> Option<u8>) {
        // An error says that nothing changes.
        let _ = self.0.fetch_update(Relaxed, Relaxed, change);
    }
}

/// One run beside the others of its directive.
#[derive(Debug)]
pub(super) struct BriefWatch<'r> {
    runs: &'r BriefRuns,
    begun: Instant,
    /// Until then its end alone is waited for.
    until: Option<Instant>,
    /// Bytes of its output.
    received: usize,
    judged: bool,
}

impl<'r> BriefWatch<'r> {
    pub(super) fn new(runs: &'r BriefRuns, now: Instant) -> Self {
        let until = runs.is_brief().then(|| now + BriefRuns::BRIEF);
        Self { runs, begun: now, until, received: 0, judged: false }
    }

    /// Until when its end alone is waited for.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        if self.until.take_if(|at| *at <= now).is_some() {
            self.judged = true;
            self.runs.went_on();
        }
    }

    pub(super) fn ended(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.judged, true) {
            self.runs.ended(now.saturating_duration_since(self.begun), self.received);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_some_brief_ones_to_believe_it_and_fewer_others_to_doubt_it() {
        let runs = BriefRuns::default();
        let brief = || runs.ended(Duration::from_millis(1), 100);
        for _ in 0..3 {
            brief();
            assert!(!runs.is_brief());
        }
        brief();
        assert!(runs.is_brief());
        runs.went_on();
        assert!(!runs.is_brief());
        (0..100).for_each(|_| brief());
        runs.ended(BriefRuns::BRIEF, 100);
        assert!(runs.is_brief());
        runs.ended(Duration::ZERO, BriefRuns::OUTPUT + 1);
        assert!(!runs.is_brief());
        (0..100).for_each(|_| runs.went_on());
        (0..4).for_each(|_| brief());
        assert!(runs.is_brief());
    }
}
