// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request for an exchange, which may outlive it and be seen by other threads.

use std::{cell::RefCell, sync::Arc};

use super::Session;

/// Access to a session, on the thread that serves the request and until it has done so.
pub(crate) struct Lease {
    owner: libc::pthread_t,
    session: RefCell<Option<Session<'static>>>,
}

// SAFETY: `session` is only touched on the owner's thread: `with` and the end of `with_lease` see to that, and
// what is left when the last reference goes is `None`.
unsafe impl Send for Lease {}
// SAFETY: `with` gives nothing to another thread than the owner's, and `end` runs on the owner's; `owner` is only read.
unsafe impl Sync for Lease {}

impl Lease {
    /// Does something with the session. `None` on another thread, after the end, and from within.
    pub(crate) fn with<R>(&self, body: impl for<'a> FnOnce(&mut Session<'a>) -> R) -> Option<R> {
        // SAFETY: it has no conditions. A thread with the number of the owner is the owner: it waits for the
        // end of the request in `with_lease`, or the session is gone.
        if unsafe { libc::pthread_self() } != self.owner {
            return None;
        }
        self.session.try_borrow_mut().ok()?.as_mut().map(body)
    }
}

/// Leases a request's session for as long as `body` runs.
pub(crate) fn with_lease<R>(session: Session<'_>, body: impl FnOnce(&Arc<Lease>) -> R) -> R {
    /// Ends the lease, also when `body` panics.
    struct EndLease<'l>(&'l Lease);

    impl Drop for EndLease<'_> {
        fn drop(&mut self) {
            *self.0.session.borrow_mut() = None;
        }
    }

    // SAFETY: the longer life ends with `EndLease`, before the request's: nobody gets the session out of `with`.
    let session = unsafe { std::mem::transmute::<Session<'_>, Session<'static>>(session) };
    // SAFETY: it has no conditions.
    let owner = unsafe { libc::pthread_self() };
    let lease = Arc::new(Lease { owner, session: RefCell::new(Some(session)) });
    let end = EndLease(&lease);
    let result = body(&lease);
    drop(end);
    result
}
