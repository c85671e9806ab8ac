// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals between workers: a request waits at this address for a process that an idle connection may hold.
//!
//! The calls of such requests ([`Contention`]) stand in memory that all workers share, and beside them what is known of
//! backends ([`BackendRecords`]). A call wakes the event loops of all workers with idle connections, which watch one eventfd.
//! Nobody reads it. Each signal is a new edge for all who watch, and so nobody has to look again and again.

use std::{
    os::fd::{AsFd, BorrowedFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use gangway::{
    backends::{BackendRecord, BackendRecords},
    contention::{Call, Calls, Contention},
    log::Line,
    sys::EventFd,
};
use nginx_sys::ngx_current_msec;

use super::super::address::Address;
use crate::raw::Cycle;

/// How long a call holds, in milliseconds: some repetitions of it.
const HOLDS: u64 = 60;
/// One that is repeated after fewer milliseconds wakes nobody.
const WOKEN: u64 = 10;

/// What workers share.
#[repr(C)]
struct SharedTables {
    contention: Contention,
    records: BackendRecords,
    /// When workers were woken last.
    woken: AtomicU64,
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
        // SAFETY: fresh shared memory, zeroed by the kernel, which is never unmapped. All-zero is valid for all of them.
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

fn now() -> u64 {
    // SAFETY: a number that nginx's clock sets on this thread.
    unsafe { ngx_current_msec as u64 }
}

fn calls(address: &Address) -> Option<Calls<'static>> {
    shared()?.contention.at(address.hash() as u64, HOLDS)
}

fn shared() -> Option<&'static SharedTables> {
    *SHARED.get()?
}

/// What is known of backends.
pub(super) fn records() -> Option<&'static BackendRecords> {
    shared().map(|shared| &shared.records)
}

/// A request waits for a connection at this address to be accepted, as it did when it called `earlier`.
pub(super) fn signal(address: &Address, earlier: Option<Call>) -> Option<(Calls<'static>, Call)> {
    let (shared, calls, now) = (shared()?, calls(address)?, now());
    let (call, is_new) = calls.call(earlier, now);
    // One that is repeated may be for a process that has come back since.
    let before = shared.woken.load(Ordering::Relaxed);
    if (is_new || now.wrapping_sub(before) >= WOKEN)
        && let Some(wakeup) = wakeup()
    {
        shared.woken.store(now, Ordering::Relaxed);
        wakeup.signal();
    }
    Some((calls, call))
}

fn wakeup() -> Option<&'static EventFd> {
    WAKEUP.get()?.as_ref()
}

/// What becomes readable, with an edge for each time, when somebody has signalled.
pub(super) fn descriptor() -> Option<BorrowedFd<'static>> {
    wakeup().map(AsFd::as_fd)
}

/// Whether requests wait at this address.
pub(super) fn is_contended(address: &Address) -> bool {
    calls(address).is_some_and(|calls| calls.are_open(now()))
}

/// Whether a request waits for the process that a connection to this address holds: then the caller closes it.
pub(super) fn is_wanted(address: &Address) -> bool {
    calls(address).is_some_and(|calls| calls.answer(now()))
}

/// What the workers know of an address.
pub(super) fn record(address: &Address) -> Option<BackendRecord<'static>> {
    records()?.of(address.hash() as u64)
}
