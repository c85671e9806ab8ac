// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream of HTTP/2 whose request has become a WebSocket (RFC 8441): mod_http2 makes a GET with `Upgrade` of the extended CONNECT and of
//! the 101 that answers it a 200, serves it on a thread of its own, and has a pipe that shows when the client has sent something.

use std::{ffi::c_int, mem, os::fd::RawFd, ptr, sync::OnceLock};

use super::{Request, sys};

type GetPollDescriptor = unsafe extern "C" fn(
    *mut sys::conn_rec,
    *mut sys::apr_pollfd_t,
    *mut sys::apr_interval_time_t,
) -> sys::apr_status_t;
type GetThreads = unsafe extern "C" fn(*mut sys::server_rec, *mut c_int, *mut c_int);

/// What shows that the client of a stream has sent something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamInput(RawFd);

impl StreamInput {
    /// That of a request. `None`: mod_http2 has none, for its client has said that it sends nothing, or that module is older than its
    /// extended CONNECT.
    pub(crate) fn of(request: Request<'_>) -> Option<Self> {
        static FUNCTION: OnceLock<Option<GetPollDescriptor>> = OnceLock::new();
        let function = FUNCTION.get_or_init(|| {
            // SAFETY: asked for while requests are served, when the table of such functions is complete. A function of this name has this
            // type: mod_http2.h.
            unsafe {
                let found = sys::apr_dynamic_fn_retrieve(c"http2_get_pollfd_from_conn".as_ptr());
                mem::transmute::<sys::apr_opt_fn_t, Option<GetPollDescriptor>>(found)
            }
        });
        let get = (*function)?;
        // SAFETY: zero is a value of all its fields.
        let mut shown: sys::apr_pollfd_t = unsafe { mem::zeroed() };
        let mut descriptor: RawFd = -1;
        // SAFETY: a `Request` is live on this thread, with its connection. mod_http2 says of which kind the descriptor is, and keeps it for
        // as long as the connection of the stream.
        let is_there = unsafe {
            get(request.connection(), &raw mut shown, ptr::null_mut()) == 0
                && shown.desc_type == sys::APR_POLL_FILE
                && !shown.desc.f.is_null()
                && sys::apr_os_file_get(&raw mut descriptor, shown.desc.f) == 0
        };
        (is_there && descriptor >= 0).then_some(Self(descriptor))
    }

    pub(super) fn descriptor(self) -> RawFd {
        self.0
    }

    /// Takes the bytes by which the pipe has shown input until now: before that is read, so that none of it goes unseen. mod_http2 takes
    /// them itself only where it waits.
    pub(super) fn take_signs(self) {
        let mut entry = libc::pollfd { fd: self.0, events: libc::POLLIN, revents: 0 };
        let mut signs = [0u8; 64];
        // SAFETY: poll(2) and read(2) write the one entry, and as many bytes as there is room for. The descriptor is the stream's, and what
        // poll has shown to be there nobody else takes: this thread alone serves the stream.
        unsafe {
            while libc::poll(&raw mut entry, 1, 0) == 1
                && entry.revents & libc::POLLIN != 0
                && libc::read(self.0, signs.as_mut_ptr().cast(), signs.len()) == signs.len() as isize
            {
            }
        }
    }
}

/// How many streams a process may serve at a time, as mod_http2 says.
pub(crate) fn stream_threads(request: Request<'_>) -> Option<u32> {
    static FUNCTION: OnceLock<Option<GetThreads>> = OnceLock::new();
    let function = FUNCTION.get_or_init(|| {
        // SAFETY: asked for while requests are served, when the table of such functions is complete. A function of this name has this type:
        // mod_http2.h.
        unsafe {
            let found = sys::apr_dynamic_fn_retrieve(c"http2_get_num_workers".as_ptr());
            mem::transmute::<sys::apr_opt_fn_t, Option<GetThreads>>(found)
        }
    });
    let (mut least, mut most) = (0, 0);
    // SAFETY: a `Request` is live, with its server; mod_http2 writes two numbers.
    function.map(|get| unsafe { get((*request.as_ptr()).server, &raw mut least, &raw mut most) })?;
    u32::try_from(most).ok().filter(|most| *most > 0)
}
