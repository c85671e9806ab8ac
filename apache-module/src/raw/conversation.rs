// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection whose bytes are no requests.

use std::{cell::Cell, ffi::c_int, ptr, sync::OnceLock};

use super::{DECLINED, OK, Request, Session, sys};

/// httpd 2.4.49 and later.
type CreateRequest = unsafe extern "C" fn(*mut sys::conn_rec) -> *mut sys::request_rec;

/// Gives `body` what stands for a new connection: a request of which nothing is known, whose filters are those of the connection. Answers
/// httpd's hook: where `body` has spoken on it, it ends.
///
/// # Safety
/// `connection` is a live one that the calling thread serves and of which nothing has been read.
pub(crate) unsafe fn converse(connection: *mut sys::conn_rec, body: fn(Request<'_>) -> bool) -> c_int {
    // SAFETY: the caller's promise. A stream of HTTP/2 is no connection of a client's.
    if unsafe { !(*connection).master.is_null() } {
        return DECLINED;
    }
    // SAFETY: the caller promises a live connection that this thread serves.
    let request = unsafe { Request::from_raw(stand_in(connection)) };
    if !request.is_some_and(body) {
        return DECLINED;
    }
    // SAFETY: the connection is live; its state is NULL or the MPM's, which waits for nothing more of the client then.
    if let Some(state) = unsafe { (*connection).cs.as_mut() } {
        state.state = sys::CONN_STATE_LINGER;
    }
    OK
}

/// What stands for a connection: a request of which nothing is known. NULL where this httpd cannot make one.
///
/// # Safety
/// `connection` is a live one that the calling thread serves.
unsafe fn stand_in(connection: *mut sys::conn_rec) -> *mut sys::request_rec {
    let Some(create) = create_request() else { return ptr::null_mut() };
    // SAFETY: the caller's promise; httpd makes the request in a pool of the connection's, where it stays until that ends. What it has
    // added to the filters is for HTTP, and in lists of the request's own.
    unsafe {
        let raw = create(connection);
        (*raw).input_filters = (*connection).input_filters;
        (*raw).proto_input_filters = (*connection).input_filters;
        (*raw).output_filters = (*connection).output_filters;
        (*raw).proto_output_filters = (*connection).output_filters;
        raw
    }
}

/// The connection below a request, for handlers that take it over.
pub(crate) struct Below(Cell<*mut sys::request_rec>);

impl Below {
    pub(crate) fn new() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }

    /// Does something with it. `None` where the connection is not the request's alone, or this httpd is too old.
    pub(crate) fn with<R>(
        &self,
        request: Request<'_>,
        body: impl FnOnce(&mut Session<'_>) -> R,
    ) -> Option<R> {
        if request.is_stream() {
            return None;
        }
        if self.0.get().is_null() {
            // SAFETY: httpd keeps the connection for longer than the request, and this is its thread.
            self.0.set(unsafe { stand_in(request.connection()) });
        }
        // SAFETY: NULL, or what was made of the connection of the request that leads here, and lives as long as that.
        let below = unsafe { Request::from_raw(self.0.get()) }?;
        // Nobody may take what follows for a request.
        request.close_connection();
        let mut session = Session::new(below);
        session.resume();
        let result = body(&mut session);
        session.suspend();
        Some(result)
    }
}

/// Whether this httpd can.
pub(crate) fn can_converse() -> bool {
    create_request().is_some()
}

/// Looked for where it is needed: an older httpd without it serves everything else.
fn create_request() -> Option<CreateRequest> {
    static FOUND: OnceLock<Option<CreateRequest>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: asks for a symbol of the process; a function of this name has this type: http_protocol.h.
        unsafe {
            let found = libc::dlsym(libc::RTLD_DEFAULT, c"ap_create_request".as_ptr());
            std::mem::transmute::<*mut libc::c_void, Option<CreateRequest>>(found)
        }
    })
}
