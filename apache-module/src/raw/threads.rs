// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a thread of httpd.

use std::{ffi::c_void, ptr};

use gangway::engine::fence;

use super::{Request, sys};

/// Who is told of the end of a thread of the server.
pub(crate) trait ThreadEnd {
    /// The calling thread ends. `number` is the one that was given to [`on_thread_end`].
    fn ends(number: usize);
}

/// Has `T` told, with this number, of the end of the server's thread that serves the request.
pub(crate) fn on_thread_end<T: ThreadEnd>(request: Request<'_>, number: usize) {
    // SAFETY: a `Request` is live on this thread, and httpd keeps its connection for longer; the pool of a thread lives until
    // the thread's end, and only the thread itself uses it.
    unsafe {
        let thread = (*request.connection()).current_thread;
        if !thread.is_null() {
            let (pool, data) = (sys::apr_thread_pool_get(thread), ptr::without_provenance::<c_void>(number));
            sys::apr_pool_cleanup_register(
                pool,
                data,
                Some(run_thread_end::<T>),
                Some(sys::apr_pool_cleanup_null),
            );
        }
    }
}

unsafe extern "C" fn run_thread_end<T: ThreadEnd>(number: *mut c_void) -> sys::apr_status_t {
    fence("the end of a thread", (), || T::ends(number.addr()));
    0
}
