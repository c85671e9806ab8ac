// SPDX-License-Identifier: MIT OR Apache-2.0
//! A response's body, on its way to httpd's output filters.

use std::{ffi::c_int, ptr};

use super::{
    FILTER_ERROR, Request,
    input::sentinel,
    sys::{self, apr_bucket, apr_bucket_brigade},
};

/// What follows the bytes of one `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// More, soon: httpd sends when it likes.
    More,
    /// More, some time: httpd sends now.
    Flush,
    /// Nothing: the response is whole.
    End,
    /// Nothing, and the client must see that this is not all.
    Cut,
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// They are on their way.
    Taken,
    /// A filter has answered the request in its own words, as with a range that cannot be satisfied.
    Answered,
    /// The client has left.
    Gone,
}

/// One request's way out.
pub(crate) struct Output<'r> {
    request: Request<'r>,
    brigade: *mut apr_bucket_brigade,
}

impl<'r> Output<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Self { request, brigade: ptr::null_mut() }
    }

    /// Gives bytes to the output filters; they may change as soon as this returns.
    pub(crate) fn pass<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>, then: Then) -> Passed {
        let list = self.request.bucket_list();
        // SAFETY: the brigade is the request's own. Buckets refer to the pieces until the filters have been called:
        // those that keep bytes copy them, and what is left in the brigade is destroyed here.
        unsafe {
            if self.brigade.is_null() {
                self.brigade = sys::apr_brigade_create(self.request.pool(), list);
            }
            for piece in pieces.filter(|piece| !piece.is_empty()) {
                self.push(sys::apr_bucket_transient_create(piece.as_ptr().cast(), piece.len(), list));
            }
            match then {
                Then::More => {}
                Then::Flush => self.push(sys::apr_bucket_flush_create(list)),
                Then::End => self.push(sys::apr_bucket_eos_create(list)),
                Then::Cut => sys::ap_proxy_backend_broke(self.request.as_ptr(), self.brigade),
            }
            let status = sys::ap_pass_brigade((*self.request.as_ptr()).output_filters, self.brigade);
            sys::apr_brigade_cleanup(self.brigade.cast());
            match status {
                _ if self.request.is_aborted() => Passed::Gone,
                0 => Passed::Taken,
                FILTER_ERROR => Passed::Answered,
                _ => Passed::Gone,
            }
        }
    }

    /// Ends a response that is not whole so that the client sees it.
    pub(crate) fn cut(&mut self) {
        // httpd would take the error for the whole answer as long as nothing else has passed its filters.
        if self.pass(std::iter::empty(), Then::Flush) == Passed::Taken {
            self.pass(std::iter::empty(), Then::Cut);
        }
        let request = self.request;
        // SAFETY: a live connection.
        unsafe { (*request.connection()).keepalive = sys::AP_CONN_CLOSE }
        if !request.is_framed() && reset_on_close(request) {
            // httpd closes an aborted connection at once instead of lingering.
            request.set_aborted();
        }
    }

    /// APR_BRIGADE_INSERT_TAIL.
    ///
    /// # Safety
    /// `bucket` is a new bucket in no ring, and there is a brigade.
    unsafe fn push(&mut self, bucket: *mut apr_bucket) {
        // SAFETY: the brigade's ring is whole; the caller vouches for the bucket.
        unsafe {
            let last = (*self.brigade).list.prev;
            (*bucket).link.next = sentinel(self.brigade);
            (*bucket).link.prev = last;
            (*last).link.next = bucket;
            (*self.brigade).list.prev = bucket;
        }
    }
}

/// Makes the end of a client's connection a reset, which nobody takes for the end of a response.
fn reset_on_close(request: Request<'_>) -> bool {
    let Some(fd) = request.client() else { return false };
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: one option structure is readable.
    let status = unsafe {
        let size = size_of::<libc::linger>() as libc::socklen_t;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    status == 0
}

impl Request<'_> {
    /// Whether the client can see where the response ends without the end of the connection.
    fn is_framed(self) -> bool {
        // SAFETY: a live request and its table.
        unsafe {
            let length = sys::apr_table_get((*self.as_ptr()).headers_out, c"Content-Length".as_ptr());
            (*self.as_ptr()).chunked != 0 || !length.is_null()
        }
    }

    /// Has httpd answer with the page of a status, in place of the response.
    pub(crate) fn answer_with_page(self, status: u16) {
        // SAFETY: a live request. ap_die() takes a status that is not OK for an error within an error page.
        unsafe {
            (*self.as_ptr()).status = sys::HTTP_OK as c_int;
            (*self.as_ptr()).status_line = ptr::null();
            sys::ap_die(c_int::from(status), self.as_ptr());
        }
    }
}
