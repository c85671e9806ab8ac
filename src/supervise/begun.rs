// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which requests of a connection that they share have been begun: words in memory that a worker makes, and that the process at the other
//! end writes. A process that ends says nothing any more; what it has not begun another one may have.
//!
//! ```text
//! Waits -> Begun       the process begins the request
//! Waits -> TakenBack   the worker gives it to another one: this one never begins it
//! ```
//!
//! The application can write what it likes there. It deceives nobody but itself: its own requests run twice, or not at all.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::sys::shared::{SharedMapping, SharedWords};

const WAITS: u64 = 0;
const BEGUN: u64 = 1;
const TAKEN_BACK: u64 = 2;

/// A word for each lane. One page.
const COUNT: usize = 512;

/// The words of one connection.
#[derive(Debug)]
pub struct BegunWords(SharedMapping);

impl BegunWords {
    /// Makes them, for the worker, and a descriptor for the process.
    ///
    /// # Errors
    /// What [`SharedWords::create`] says.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let (words, descriptor) = SharedWords::create(c"gangway-begun", COUNT)?.into_parts();
        Ok((Self(words), descriptor))
    }

    /// Those that a worker has sent.
    ///
    /// # Errors
    /// What [`SharedWords::open`] says; `InvalidData` for memory that is not of this size.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let words = SharedWords::open(descriptor)?;
        if words.words().len() != COUNT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self(words.into_parts().0))
    }

    /// A request gets a lane. `false`: there is no word for it.
    #[must_use]
    pub fn wait(&self, lane: u16) -> bool {
        self.word(lane).map(|word| word.store(WAITS, SeqCst)).is_some()
    }

    /// The process is about to begin a request. `false`: another one has it.
    #[must_use]
    pub fn begin(&self, lane: u16) -> bool {
        self.word(lane).is_none_or(|word| {
            !matches!(word.compare_exchange(WAITS, BEGUN, SeqCst, SeqCst), Err(TAKEN_BACK))
        })
    }

    /// Whether another process may have a request: this one has not begun it, and never does.
    #[must_use]
    pub fn take_back(&self, lane: u16) -> bool {
        self.word(lane).is_some_and(|word| {
            matches!(word.compare_exchange(WAITS, TAKEN_BACK, SeqCst, SeqCst), Ok(_) | Err(TAKEN_BACK))
        })
    }

    fn word(&self, lane: u16) -> Option<&AtomicU64> {
        self.0.words().get(usize::from(lane))
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_begun_or_taken_back_and_never_both() {
        let (here, descriptor) = BegunWords::create().unwrap();
        let there = BegunWords::open(descriptor).unwrap();
        assert!(here.wait(1) && there.begin(1) && !here.take_back(1));
        // It is told twice that it has been lost.
        assert!(here.wait(1) && here.take_back(1) && here.take_back(1) && !there.begin(1));
        assert!(here.wait(1) && there.begin(1));
        assert!(here.wait(511) && !here.wait(512) && !here.take_back(512) && there.begin(512));
    }

    #[test]
    fn whatever_a_process_writes_is_no_request_that_may_run_again() {
        let (words, _) = BegunWords::create().unwrap();
        words.0.words()[7].store(u64::MAX, SeqCst);
        assert!(!words.take_back(7) && words.begin(7));
    }

    #[test]
    fn who_begins_at_the_same_time_as_it_is_taken_back_loses_or_wins() {
        let (words, _) = BegunWords::create().unwrap();
        for _ in 0..1000 {
            assert!(words.wait(3));
            let (begun, taken) = std::thread::scope(|scope| {
                let begun = scope.spawn(|| words.begin(3));
                (words.take_back(3), begun.join().unwrap())
            });
            assert_ne!(begun, taken);
        }
    }

    #[test]
    fn other_memory_is_refused() {
        let other = SharedWords::create(c"words", 7).unwrap();
        assert!(BegunWords::open(other.into_parts().1).is_err());
    }
}
