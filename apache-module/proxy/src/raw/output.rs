// SPDX-License-Identifier: MIT OR Apache-2.0
//! A response's body, on its way to httpd's output filters.

use std::ffi::c_int;

use gangway_httpd::{
    brigade::Brigade,
    transfer::{Passed, Then},
};

use super::{FILTER_ERROR, Request, sys};

/// One request's way out.
pub(crate) struct Output<'r> {
    request: Request<'r>,
    /// Made at its first use.
    brigade: Option<Brigade<'r>>,
}

impl<'r> Output<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Self { request, brigade: None }
    }

    /// Gives bytes to the output filters; they may change as soon as this returns.
    pub(crate) fn pass<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>, then: Then) -> Passed {
        let request = self.request;
        let brigade = self.brigade.get_or_insert_with(|| request.brigade());
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let list = brigade.bucket_list();
            // SAFETY: the bucket is new and of the brigade's own allocator. It refers to the piece until the filters have been called:
            // those that keep bytes copy them, and what is left in the brigade is destroyed with the pass below.
            unsafe {
                brigade.push(sys::apr_bucket_transient_create(piece.as_ptr().cast(), piece.len(), list));
            }
        }
        match then {
            Then::More => {}
            Then::Flush => brigade.push_flush(),
            Then::End => brigade.push_end(),
            // SAFETY: a `Request` is live on this thread, and the brigade is its own.
            Then::Cut => unsafe { sys::ap_proxy_backend_broke(request.as_ptr(), brigade.as_ptr()) },
        }
        match request.pass(brigade) {
            _ if request.is_aborted() => Passed::Gone,
            0 => Passed::Taken,
            FILTER_ERROR => Passed::Answered,
            _ => Passed::Gone,
        }
    }

    /// Ends a response that is not whole so that the client sees it.
    pub(crate) fn cut(&mut self) {
        // httpd would take the error for the whole answer as long as nothing else has passed its filters.
        if self.pass(std::iter::empty(), Then::Flush) == Passed::Taken {
            self.pass(std::iter::empty(), Then::Cut);
        }
        self.request.close_connection();
        self.request.reset_if_unframed();
    }
}

/// Has httpd answer with the page of a status, in place of the response.
pub(crate) fn answer_with_page(request: Request<'_>, status: u16) {
    // ap_die() takes a status that is not OK for an error within an error page.
    request.reset_status();
    // SAFETY: `Request::from_raw` was promised a request that is live on this thread, which alone changes it.
    unsafe { sys::ap_die(c_int::from(status), request.as_ptr()) }
}
