// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who runs the processes.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use gangway::{
    config::Managed,
    log::Line,
    supervise::segment::{Owner, Segment},
    sys::{EventFd, lock},
};
use nginx_sys::ngx_current_msec;

use crate::raw::Cycle;

/// The applications of the newest configuration, with what is shared about each.
static POOLS: Mutex<Vec<(Managed, Arc<Segment>)>> = Mutex::new(Vec::new());
/// What rings when it is the turn of a request in another worker.
static BELL: OnceLock<Option<Arc<EventFd>>> = OnceLock::new();
static WORKER: AtomicU32 = AtomicU32::new(0);

/// In a process that will serve requests.
pub(crate) fn start(_: &Cycle<'_>) -> Result<(), Line> {
    WORKER.store(std::process::id(), Ordering::Relaxed);
    Ok(())
}

/// This worker.
pub(super) fn worker() -> Owner {
    Owner::of(WORKER.load(Ordering::Relaxed))
}

/// Milliseconds of the monotonic clock, by which the supervisor goes as well.
pub(super) fn now() -> u64 {
    // SAFETY: a plain number of the worker's own thread.
    unsafe { ngx_current_msec as u64 }
}

pub(super) fn bell() -> Option<BorrowedFd<'static>> {
    BELL.get()?.as_ref().map(|bell| bell.as_fd())
}

/// What is shared about an application.
pub(super) fn segment(managed: &Managed) -> Option<Arc<Segment>> {
    lock(&POOLS).iter().find(|(known, _)| known == managed).map(|(_, segment)| Arc::clone(segment))
}

/// Tells the supervisor that a request waits, or that a process is stuck.
pub(super) fn demand(_: &Managed) {}
