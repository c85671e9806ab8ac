// SPDX-License-Identifier: MIT OR Apache-2.0
//! What we keep with a request from one hook to the next.

use std::{
    ffi::{c_char, c_void},
    ptr,
};

use super::{Request, sys};

/// Plain data in the request's pool.
pub(super) struct State {
    /// The path to look for in the file system, or NULL.
    pub(super) script_path: *mut c_char,
    /// What a response asks for instead of itself, or NULL.
    pub(super) redirect: *const c_char,
    /// `redirect` is a file.
    pub(super) is_file: bool,
    /// `GangwayPass` has made PATH_INFO the part below its mount.
    pub(super) is_mounted: bool,
}

impl State {
    /// The state of a request, made at its first use.
    pub(super) fn of<'r>(request: Request<'r>) -> &'r mut Self {
        let place = request.place();
        // SAFETY: the place is ours and holds NULL or what this has put there; the pool lives as long as the
        // request. Nobody keeps the reference: each caller uses it for one access.
        unsafe {
            if (*place).is_null() {
                let memory = sys::apr_palloc(request.pool(), size_of::<Self>()).cast::<Self>();
                memory.write(Self {
                    script_path: ptr::null_mut(),
                    redirect: ptr::null(),
                    is_file: false,
                    is_mounted: false,
                });
                *place = memory.cast::<c_void>();
            }
            &mut *(*place).cast::<Self>()
        }
    }

    /// The state, if there is one.
    pub(super) fn if_any<'r>(request: Request<'r>) -> Option<&'r Self> {
        // SAFETY: as above.
        unsafe { (*request.place()).cast::<Self>().as_ref() }
    }
}
