// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request's input and output while its handler runs.

use std::ptr;

use gangway::exchange::Body;

use super::{
    Request,
    sys::{self, apr_bucket, apr_bucket_brigade},
};

/// One request's input and output.
pub(crate) struct Session<'r> {
    pub(super) request: Request<'r>,
    pub(super) output: *mut apr_bucket_brigade,
    pub(super) input: Input,
}

impl<'r> Session<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Self { request, output: ptr::null_mut(), input: Input::default() }
    }

    pub(crate) fn request(&self) -> Request<'r> {
        self.request
    }
}

/// How far a body has been read.
pub(super) struct Input {
    /// Read in advance, and given back: it comes first.
    pub(super) ahead: Body,
    /// What the filters gave and nobody has taken. They may give more than they were asked for.
    pub(super) given: *mut apr_bucket_brigade,
    /// Bytes of its first bucket that have been taken.
    pub(super) taken: usize,
    /// The filters have said that there is no more.
    pub(super) ended: bool,
}

impl Default for Input {
    fn default() -> Self {
        Self { ahead: Body::default(), given: ptr::null_mut(), taken: 0, ended: false }
    }
}

/// The brigade in `place`, made at its first use.
///
/// # Safety
/// `place` belongs to a session of `request`.
pub(super) unsafe fn brigade(
    place: &mut *mut apr_bucket_brigade,
    request: Request<'_>,
) -> *mut apr_bucket_brigade {
    if place.is_null() {
        // SAFETY: a live request and connection; APR aborts without memory.
        *place = unsafe {
            sys::apr_brigade_create((*request.as_ptr()).pool, (*request.connection()).bucket_alloc)
        };
    }
    *place
}

/// APR_BRIGADE_SENTINEL: the ring's head, seen as a bucket whose first member is the link.
///
/// # Safety
/// `brigade` is live.
pub(super) unsafe fn sentinel(brigade: *mut apr_bucket_brigade) -> *mut apr_bucket {
    const _: () = assert!(std::mem::offset_of!(apr_bucket, link) == 0);
    // SAFETY: only an address inside of the brigade.
    unsafe { (&raw mut (*brigade).list).cast() }
}
