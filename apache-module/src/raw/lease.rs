// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request for an exchange, which may outlive it and be seen by other threads.

use std::{cell::RefCell, ffi::c_void, ptr::NonNull, sync::Arc};

use super::Session;

/// Access to a session, on the thread that serves the request and until it has done so.
pub(crate) struct Lease {
    owner: libc::pthread_t,
    /// The session of `with_lease`, whatever its life, until that returns.
    session: RefCell<Option<NonNull<c_void>>>,
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
        let session = self.session.try_borrow_mut().ok()?;
        // SAFETY: `with_lease` has put a session of its own frame there and takes the pointer back before that ends. The borrow that is
        // held here gives it to one call at a time, and `body` to nobody for longer.
        session.map(|session| body(unsafe { session.cast::<Session<'_>>().as_mut() }))
    }
}

/// Leases a request's session for as long as `body` runs.
pub(crate) fn with_lease<R>(mut session: Session<'_>, body: impl FnOnce(&Arc<Lease>) -> R) -> R {
    /// Ends the lease, also when `body` panics.
    struct EndLease<'l>(&'l Lease);

    impl Drop for EndLease<'_> {
        fn drop(&mut self) {
            *self.0.session.borrow_mut() = None;
        }
    }

    // SAFETY: it has no conditions.
    let owner = unsafe { libc::pthread_self() };
    let lease = Arc::new(Lease { owner, session: RefCell::new(Some(NonNull::from(&mut session).cast())) });
    let end = EndLease(&lease);
    let result = body(&lease);
    drop(end);
    result
}
