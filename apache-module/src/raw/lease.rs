// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request for an exchange, which may outlive it and be seen by other threads.

use std::{
    cell::Cell,
    ffi::c_void,
    ptr::NonNull,
    sync::{Arc, Mutex, TryLockError},
};

use gangway::sys::lock;

use super::Session;

/// Access to a session, on the thread that serves the request and until it has done so.
pub(crate) struct Lease {
    owner: libc::pthread_t,
    /// The owner is inside of `with`. For the owner's thread alone.
    is_inside: Cell<bool>,
    /// The session of `with_lease`, whatever its life, until that returns.
    session: Mutex<Option<NonNull<c_void>>>,
}

// SAFETY: `session` is only touched by who has its lock: the owner's thread, or another one in `let_go` while the owner does nothing
// with the request; what is left when the last reference goes is `None`.
unsafe impl Send for Lease {}
// SAFETY: `session` gives what it leads to only to who has its lock; `is_inside` is only touched on the owner's thread, which `with` looks
// for first, and `owner` is only read.
unsafe impl Sync for Lease {}

impl Lease {
    /// Does something with the session. `None` on another thread, after the end, and from within.
    pub(crate) fn with<R>(&self, body: impl for<'a> FnOnce(&mut Session<'a>) -> R) -> Option<R> {
        // SAFETY: it has no conditions. A thread with the number of the owner is the owner: it waits for the
        // end of the request in `with_lease`, or the session is gone.
        if unsafe { libc::pthread_self() } != self.owner {
            return None;
        }
        if self.is_inside.replace(true) {
            return None;
        }
        let _inside = Inside(&self.is_inside);
        let session = lock(&self.session);
        // SAFETY: `with_lease` has put a session of its own frame there and takes the pointer back before that ends. The lock that is
        // held here gives it to one call at a time, and `body` to nobody for longer.
        session.map(|session| body(unsafe { session.cast::<Session<'_>>().as_mut() }))
    }

    /// From a thread that watches: lets leave what has waited for long enough. The thread of the request is at something else, or it
    /// waits. Answers whether there is nothing left to wait for.
    pub(crate) fn let_go(&self) -> bool {
        match self.session.try_lock() {
            // SAFETY: `with_lease` has put a session of its own frame there and takes the pointer back, with the lock, before that ends;
            // the lock that is held here keeps the owner's thread out.
            Ok(session) => session
                .is_none_or(|session| unsafe { session.cast::<Session<'_>>().as_mut() }.let_go_if_free()),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        }
    }
}

/// The end of a stay in `with`, also when its body panics.
struct Inside<'l>(&'l Cell<bool>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Leases a request's session for as long as `body` runs.
pub(crate) fn with_lease<R>(mut session: Session<'_>, body: impl FnOnce(&Arc<Lease>) -> R) -> R {
    /// Ends the lease, also when `body` panics.
    struct EndLease<'l>(&'l Lease);

    impl Drop for EndLease<'_> {
        fn drop(&mut self) {
            *lock(&self.0.session) = None;
        }
    }

    // SAFETY: it has no conditions.
    let owner = unsafe { libc::pthread_self() };
    let session = Mutex::new(Some(NonNull::from(&mut session).cast()));
    let lease = Arc::new(Lease { owner, is_inside: Cell::new(false), session });
    let end = EndLease(&lease);
    let result = body(&lease);
    drop(end);
    result
}
