// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many connections of clients this process has. The number in httpd's scoreboard is what the listener of the event MPM
//! wrote when it last had something to do: in a process that ends it sleeps, and the number stays.

use std::{
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{DECLINED, sys};

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Counts a connection until its memory goes.
pub(crate) unsafe extern "C" fn count(connection: *mut sys::conn_rec, _: *mut c_void) -> c_int {
    // SAFETY: httpd calls this hook with a new connection, on the thread that serves it; its pool lives as long as it is open.
    unsafe {
        // A stream of HTTP/2 has one of its own inside of the client's.
        if (*connection).master.is_null() {
            OPEN.fetch_add(1, Relaxed);
            sys::apr_pool_cleanup_register(
                (*connection).pool,
                ptr::null(),
                Some(end),
                Some(sys::apr_pool_cleanup_null),
            );
        }
    }
    DECLINED
}

unsafe extern "C" fn end(_: *mut c_void) -> sys::apr_status_t {
    OPEN.fetch_sub(1, Relaxed);
    0
}

/// Connections that are open.
pub(super) fn open() -> usize {
    OPEN.load(Relaxed)
}
