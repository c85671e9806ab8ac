// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request whose connection its MPM has let go of: no thread of httpd's serves it, one of ours does.
//!
//! ```text
//! handler, on a thread of httpd    can_suspend, suspend, SUSPENDED is the answer
//! the same thread, a moment later  the hook suspend_connection: from here on the connection is ours alone
//! our thread                       reads, writes; leave: the end of the request; LingeringClose: that of the connection
//! ```

use std::{
    ffi::{c_int, c_void},
    mem,
    os::fd::RawFd,
    ptr::NonNull,
    sync::atomic::{AtomicPtr, Ordering::Acquire},
};

use super::{Request, Upgraded, server, sys};

/// What a handler answers whose request goes on without its thread.
pub(crate) const SUSPENDED: c_int = sys::SUSPENDED;

/// The number of a connection, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionKey(usize);

impl ConnectionKey {
    fn of(connection: *mut sys::conn_rec) -> Self {
        Self(connection.addr())
    }

    /// That of a connection of which the hook `suspend_connection` says that the thread has let go of it. `None` where the MPM goes on
    /// with it by itself: it says so of connections that it closes, or waits for, as well.
    ///
    /// # Safety
    /// `connection` is the one that the hook was called with, during the call.
    pub(crate) unsafe fn of_suspended(connection: *mut sys::conn_rec) -> Option<Self> {
        // SAFETY: httpd calls the hook with a live connection, and its state is NULL or the MPM's, which lives as long.
        let state = unsafe { (*connection).cs.as_ref() };
        state.filter(|state| state.state == sys::CONN_STATE_SUSPENDED).map(|_| Self::of(connection))
    }
}

/// Whether the MPM can let go of the connection while the request goes on: it is the request's alone, and nobody waits for the end of
/// the handler but the MPM itself.
pub(crate) fn can_suspend(request: Request<'_>) -> bool {
    // SAFETY: httpd keeps the connection for longer than the request, and this is its thread.
    let has_state = unsafe { !(*request.connection()).cs.is_null() };
    has_state && server::is_async() && !request.is_stream() && request.is_initial()
}

impl Upgraded<'_> {
    /// Has the MPM let go of the connection when the handler has answered [`SUSPENDED`]. It is to be used from the hook on that says so,
    /// on one thread at a time.
    pub(crate) fn suspend(mut self) -> (Suspended, ConnectionKey) {
        self.leave_filters_out();
        let connection = self.request().connection();
        // SAFETY: the connection of a live request, on its thread.
        unsafe { set_suspended(connection) }
        // A Box is never NULL.
        let kept = NonNull::from(Box::leak(Box::new(self))).cast();
        (Suspended { kept }, ConnectionKey::of(connection))
    }
}

/// A connection that is ours alone, with its request, until [`Suspended::leave`].
pub(crate) struct Suspended {
    /// A box with the `Upgraded` of it, which has no life that the compiler could know.
    kept: NonNull<c_void>,
}

// SAFETY: only `suspend` makes one, and from the hook on nobody else uses its request and its connection.
unsafe impl Send for Suspended {}

impl Suspended {
    /// Does something with it.
    pub(crate) fn with<R>(&mut self, body: impl for<'a> FnOnce(&mut Upgraded<'a>) -> R) -> R {
        // SAFETY: `suspend` has made the box, which goes with this. With the answer of the handler the request and its connection stay
        // until then, and `body` gives what is borrowed here to nobody for longer.
        body(unsafe { self.kept.cast::<Upgraded<'_>>().as_mut() })
    }

    /// Gives the system back what APR keeps of the connection's memory for its next use, a buffer for what is read first of all: one that
    /// is silent for long needs none.
    pub(crate) fn spare_memory(&mut self) {
        // As many as one read or one answer leaves behind.
        const NODES: usize = 3;
        const SIZE: usize = 4096;
        // Each, when it is freed, is more than that.
        const LEAST: usize = 1;
        let connection = self.with(|upgraded| upgraded.request().connection());
        // SAFETY: the connection is ours alone, and with it its pool, whose allocator no other connection has. Nodes that are allocated are
        // freed here, to the system while so little may be kept.
        unsafe {
            let allocator = sys::apr_pool_allocator_get((*connection).pool);
            sys::apr_allocator_max_free_set(allocator, LEAST);
            for node in [(); NODES].map(|()| sys::apr_allocator_alloc(allocator, SIZE)) {
                if !node.is_null() {
                    sys::apr_allocator_free(allocator, node);
                }
            }
            sys::apr_allocator_max_free_set(allocator, sys::ap_max_mem_free as usize);
        }
    }

    /// Ends the request, which is logged now, and its connection, as far as that can be done without waiting. `agreed`: both sides have said
    /// what they had to.
    pub(crate) fn leave(mut self, agreed: bool) -> LingeringClose {
        let (raw, connection) = self.with(|upgraded| {
            if !agreed {
                upgraded.forget_client();
            }
            (upgraded.request().as_ptr(), upgraded.request().connection())
        });
        // What it holds is the request's.
        drop(self);
        // SAFETY: `suspend` has had a live request, which nobody else uses; it is not used again. With a time limit of zero httpd
        // waits for no client.
        unsafe {
            let socket = sys::ap_get_conn_socket(connection);
            sys::apr_socket_timeout_set(socket, 0);
            sys::ap_finalize_request_protocol(raw);
            sys::ap_process_request_after_handler(raw);
            // Its MPM counts it as what it was.
            set_suspended(connection);
            let lingers = sys::ap_start_lingering_close(connection) == 0;
            let mut descriptor: RawFd = -1;
            if sys::apr_os_sock_get(&raw mut descriptor, socket) != 0 {
                descriptor = -1;
            }
            let mut lingering = LingeringClose { connection, socket, descriptor };
            if !lingers {
                lingering.close();
            }
            lingering
        }
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        // SAFETY: `suspend` has made the box, and nobody has it but this, which ends.
        drop(unsafe { Box::from_raw(self.kept.cast::<Upgraded<'_>>().as_ptr()) });
    }
}

/// # Safety
/// `connection` is a live one, which nobody else uses.
unsafe fn set_suspended(connection: *mut sys::conn_rec) {
    // SAFETY: the caller's connection is live, and its state is NULL or the MPM's, which lives as long.
    if let Some(state) = unsafe { (*connection).cs.as_mut() } {
        state.state = sys::CONN_STATE_SUSPENDED;
    }
}

/// A connection whose request has ended. Our side is closed; what its client still sends is read, so that the kernel does not take
/// back what has been sent.
pub(crate) struct LingeringClose {
    connection: *mut sys::conn_rec,
    socket: *mut sys::apr_socket_t,
    /// -1 when it is closed.
    descriptor: RawFd,
}

impl LingeringClose {
    /// Its number, while it is open.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        (self.descriptor >= 0).then_some(self.descriptor)
    }

    /// Reads what has come. Answers whether the client has closed its side as well.
    pub(crate) fn is_over(&self) -> bool {
        const TIMES: usize = 8;
        let mut waste = [0u8; 16 * 1024];
        for _ in 0..TIMES {
            // SAFETY: recv(2) writes so many bytes at most. The number is the connection's: `close` forgets it.
            let count = unsafe {
                libc::recv(self.descriptor, waste.as_mut_ptr().cast(), waste.len(), libc::MSG_DONTWAIT)
            };
            if count <= 0 {
                let is_later = count < 0
                    && matches!(
                        std::io::Error::last_os_error().kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                    );
                return !is_later;
            }
        }
        false
    }

    /// Closes it.
    pub(crate) fn close(&mut self) {
        if mem::replace(&mut self.descriptor, -1) >= 0 {
            // SAFETY: the connection is ours alone, and so is its socket, which `free` finds closed.
            unsafe {
                sys::apr_socket_close(self.socket);
            }
        }
    }

    /// Whether the MPM has written what it writes into a connection just after the hook that gives it away, as far as that can be seen:
    /// it takes the place in the scoreboard off it, before or after its own mark.
    pub(crate) fn is_let_go(&self) -> bool {
        // SAFETY: the connection lives until `free`. The MPM's thread may write the field meanwhile, so it is read as a whole.
        unsafe { AtomicPtr::from_ptr(&raw mut (*self.connection).sbh) }.load(Acquire).is_null()
    }

    /// Frees its memory: see `is_let_go`.
    pub(crate) fn free(self) {
        // SAFETY: the connection is ours alone, and nobody uses it again: what its pool calls at its end is httpd's own. Pools of
        // connections are made and freed on any thread: the one above them has a lock.
        unsafe { sys::apr_pool_destroy((*self.connection).pool) }
    }
}
