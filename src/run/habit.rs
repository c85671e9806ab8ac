// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether scripts usually end as soon as they have said what they say.

use std::{
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};

/// What the scripts of one directive usually do. A script that writes once and ends is heard twice, and each time a
/// waiting thread wakes up and takes the processor from it. Where that is the habit, its end alone is waited for, for
/// [`Habit::BRIEF`] at most. Any thread may ask and tell.
#[derive(Debug, Default)]
pub struct Habit(AtomicU8);

impl Habit {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_some_brief_ones_to_believe_it_and_fewer_others_to_doubt_it() {
        let habit = Habit::default();
        let brief = || habit.ended(Duration::from_millis(1), 100);
        for _ in 0..3 {
            brief();
            assert!(!habit.is_brief());
        }
        brief();
        assert!(habit.is_brief());
        habit.went_on();
        assert!(!habit.is_brief());
        (0..100).for_each(|_| brief());
        habit.ended(Habit::BRIEF, 100);
        assert!(habit.is_brief());
        habit.ended(Duration::ZERO, Habit::OUTPUT + 1);
        assert!(!habit.is_brief());
        (0..100).for_each(|_| habit.went_on());
        (0..4).for_each(|_| brief());
        assert!(habit.is_brief());
    }
}
