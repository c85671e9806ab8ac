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
        // What comes after a response may run on another thread than that of the connection.
        if is_current(thread) {
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

/// # Safety
/// `thread` is NULL or a live thread of APR's.
unsafe fn is_current(thread: *mut sys::apr_thread_t) -> bool {
    let mut own: *mut sys::apr_os_thread_t = ptr::null_mut();
    // SAFETY: the caller's thread, which is asked for the number that it was made with.
    unsafe {
        !thread.is_null()
            && sys::apr_os_thread_get(&raw mut own, thread) == 0
            && own.as_ref().is_some_and(|own| libc::pthread_equal(*own, libc::pthread_self()) != 0)
    }
}

unsafe extern "C" fn run_thread_end<T: ThreadEnd>(number: *mut c_void) -> sys::apr_status_t {
    fence("the end of a thread", (), || T::ends(number.addr()));
    0
}
