// SPDX-License-Identifier: MIT OR Apache-2.0
//! A board in memory that all processes of the server share: the calls of those who wait for a backend ([`Contention`]),
//! which whoever has an idle connection to that backend answers by closing it. Beside them stands what is known of
//! backends ([`BackendRecords`]).
//!
//! The parent process only maps the memory. Children trust nothing in it: whatever a number says, the worst that
//! follows is a connection that is closed too early or a second too late.

use std::{
    ptr::{self, NonNull},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use gangway::{
    backends::BackendRecords,
    contention::{Calls, Contention},
};

/// How long a call holds, in milliseconds. Longer than the time between two calls of one who waits.
const HOLDS: u64 = 100;

/// The board.
#[repr(C)]
pub(crate) struct Board {
    /// Changes with each call; what `wait` sleeps on.
    changes: AtomicU32,
    contention: Contention,
    records: BackendRecords,
}

struct Mapped(NonNull<Board>);

// SAFETY: the board is made of atomics, and is never unmapped.
unsafe impl Send for Mapped {}
// SAFETY: all that a shared reference gives access to is atomics.
unsafe impl Sync for Mapped {}

static BOARD: OnceLock<Option<Mapped>> = OnceLock::new();

impl Board {
    /// The board; `None` when there was no memory for it. Called first by the process that all others come from.
    pub(crate) fn shared() -> Option<&'static Self> {
        let mapped = BOARD.get_or_init(|| {
            // SAFETY: a new mapping of zeros, which is what a board is at first.
            let memory = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    size_of::<Self>(),
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            if memory == libc::MAP_FAILED { None } else { NonNull::new(memory.cast()).map(Mapped) }
        });
        // SAFETY: mapped for the life of the process.
        mapped.as_ref().map(|mapped| unsafe { mapped.0.as_ref() })
    }

    /// What is known of backends.
    pub(crate) fn records(&self) -> &BackendRecords {
        &self.records
    }

    /// The calls of those who wait for the backend of this key.
    pub(crate) fn calls(&self, key: u64) -> Option<Calls<'_>> {
        self.contention.at(key, HOLDS)
    }

    /// Wakes those who sleep.
    pub(crate) fn wake(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        // SAFETY: the address is that of a live integer of 32 bits.
        unsafe {
            libc::syscall(libc::SYS_futex, self.changes.as_ptr(), libc::FUTEX_WAKE, libc::c_int::MAX);
        }
    }

    /// The number of changes so far.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// Sleeps until there is another change than `seen`, or the time is over.
    pub(crate) fn wait(&self, seen: u32, time: Duration) {
        let limit = libc::timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        // SAFETY: the address is that of a live integer; the time is readable.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.changes.as_ptr(),
                libc::FUTEX_WAIT,
                seen,
                &raw const limit,
                ptr::null::<u32>(),
                0,
            );
        }
    }
}

/// Milliseconds of a clock that all processes share and nobody sets.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one writable time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let milliseconds = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(milliseconds).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn who_sleeps_is_woken_by_a_change() {
        let board = Board::shared().unwrap();
        let seen = board.changes();
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| board.wait(seen, LONG));
            // The other thread may not sleep yet: then it finds the change and does not begin to.
            board.wake();
        });
        assert!(begun.elapsed() < LONG);
    }
}
