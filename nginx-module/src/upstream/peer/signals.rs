// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals between workers: a request waits for a connection to this address, so whoever has an idle one closes it.
//!
//! A table of times, one slot for the addresses of one hash. A slot holds nothing that anybody follows: a worker that
//! writes nonsense into it makes others close idle connections or keep them, and no more. A worker that dies leaves a
//! time that grows old. Beside it stands what is known of backends ([`BackendRecords`]).
//!
//! A signal in the table wakes the event loops of all workers with idle connections, which watch one eventfd. Nobody reads
//! it. Each signal is a new edge for all who watch, and so nobody has to look again and again.

use std::{
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use gangway::{
    backends::{BackendRecord, BackendRecords},
    log::Line,
    sys::EventFd,
};
use nginx_sys::ngx_current_msec;

use super::super::address::Address;
use crate::raw::Cycle;

const SLOTS: usize = 1024;

/// How long a signal holds, in milliseconds: some repetitions of it.
const HOLDS: usize = 60;
/// One that is repeated after fewer milliseconds wakes nobody.
const WOKEN: usize = 10;

/// What workers share.
#[repr(C)]
struct SharedTables {
    signals: [AtomicUsize; SLOTS],
    records: BackendRecords,
}

static SHARED: OnceLock<Option<&'static SharedTables>> = OnceLock::new();
static WAKEUP: OnceLock<Option<EventFd>> = OnceLock::new();

/// Makes tables and wake-up before the first worker is started; later workers share them.
///
/// # Errors
/// None: without them workers look again and again, and keep no idle connection.
pub(crate) fn make(_: &Cycle<'_>) -> Result<(), Line> {
    // Without one workers look again and again.
    WAKEUP.get_or_init(|| EventFd::new().ok());
    SHARED.get_or_init(|| {
        // SAFETY: fresh shared memory, zeroed by the kernel, which is never unmapped. All-zero is valid for both tables.
        unsafe {
            let memory = libc::mmap(
                ptr::null_mut(),
                size_of::<SharedTables>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                // Without it workers know nothing of each other: no idle connection is used.
                return None;
            }
            memory.cast::<SharedTables>().as_ref()
        }
    });
    Ok(())
}

fn now() -> usize {
    // SAFETY: a number that nginx's clock sets on this thread.
    unsafe { ngx_current_msec }
}

fn slot(address: &Address) -> Option<&'static AtomicUsize> {
    shared()?.signals.get(address.hash() % SLOTS)
}

fn shared() -> Option<&'static SharedTables> {
    *SHARED.get()?
}

/// What is known of backends.
pub(super) fn records() -> Option<&'static BackendRecords> {
    shared().map(|shared| &shared.records)
}

/// A request waits for a connection at this address to be accepted.
pub(super) fn signal(address: &Address) {
    let Some(slot) = slot(address) else { return };
    let now = now().max(1);
    let before = slot.swap(now, Ordering::Relaxed);
    if (before == 0 || now.wrapping_sub(before) >= WOKEN)
        && let Some(wakeup) = wakeup()
    {
        wakeup.signal();
    }
}

fn wakeup() -> Option<&'static EventFd> {
    WAKEUP.get()?.as_ref()
}

/// What becomes readable, with an edge for each time, when somebody has signalled.
pub(super) fn descriptor() -> Option<RawFd> {
    wakeup().map(AsRawFd::as_raw_fd)
}

/// Whether a request waits at this address, or did a moment ago.
pub(super) fn is_contended(address: &Address) -> bool {
    slot(address).is_some_and(|slot| {
        let signalled = slot.load(Ordering::Relaxed);
        // The clock of a worker is that of its last turn: another one's may be ahead of it.
        signalled != 0 && now().wrapping_sub(signalled).wrapping_add(HOLDS) < 2 * HOLDS
    })
}

/// What the workers know of an address.
pub(super) fn record(address: &Address) -> Option<BackendRecord<'static>> {
    records()?.of(address.hash() as u64)
}
