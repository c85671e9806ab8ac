// SPDX-License-Identifier: MIT OR Apache-2.0
//! For how long, and on which thread, the server has lent a transaction.

use std::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
};

use gangway_abi::ffi::gw_transaction;
use pyo3::Python;

/// Each run of a phase has a number of its own.
static STAYS: AtomicU64 = AtomicU64::new(0);

/// The run of a phase that is at work, if there is one. Changed and read with the interpreter's lock alone.
#[derive(Debug, Default)]
pub(super) struct Stay {
    /// Null outside of phases.
    raw: AtomicPtr<gw_transaction>,
    number: AtomicU64,
    /// Its thread, by [`here`].
    thread: AtomicUsize,
}

/// The run that goes on when one inside of it has ended.
pub(super) struct OuterStay {
    raw: *mut gw_transaction,
    number: u64,
    thread: usize,
}

/// The calling thread, as long as it lives.
fn here() -> usize {
    thread_local! { static PLACE: u8 = const { 0 } }
    PLACE.with(|place| ptr::from_ref(place).addr())
}

impl Stay {
    /// That of a transaction beside one whose run is known, or of a server.
    pub(super) fn beside(raw: *mut gw_transaction) -> Self {
        Self { raw: AtomicPtr::new(raw), ..Self::default() }
    }

    /// A run begins on this thread. Answers what [`Self::end`] is to be given.
    pub(super) fn begin(&self, _py: Python<'_>, raw: *mut gw_transaction) -> OuterStay {
        let number = STAYS.fetch_add(1, Ordering::Relaxed) + 1;
        OuterStay {
            raw: self.raw.swap(raw, Ordering::Relaxed),
            number: self.number.swap(number, Ordering::Relaxed),
            thread: self.thread.swap(here(), Ordering::Relaxed),
        }
    }

    /// It has ended; the one around it goes on, if there is one.
    pub(super) fn end(&self, _py: Python<'_>, outer: &OuterStay) {
        self.raw.store(outer.raw, Ordering::Relaxed);
        self.number.store(outer.number, Ordering::Relaxed);
        self.thread.store(outer.thread, Ordering::Relaxed);
    }

    pub(super) fn raw(&self, _py: Python<'_>) -> *mut gw_transaction {
        self.raw.load(Ordering::Relaxed)
    }

    pub(super) fn number(&self, _py: Python<'_>) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Whether the calling thread is that of the run, which does not end while this one is inside of the server.
    pub(super) fn is_here(&self, _py: Python<'_>) -> bool {
        self.thread.load(Ordering::Relaxed) == here()
    }
}
