// SPDX-License-Identifier: MIT OR Apache-2.0
//! What leaves through a request's output filters, and how a response ends that is not whole.

use std::ffi::c_int;

use super::{Request, tables::OwnTable};
use crate::{brigade::Brigade, module::Module, pool::Pool, sys};

impl<'r, M: Module> Request<'r, M> {
    /// A new list of buckets.
    #[must_use]
    pub fn brigade(self) -> Brigade<'r> {
        // SAFETY: the connection of a request lives longer than the request's pool, with its allocator, and both are this thread's.
        unsafe { Brigade::new(self.pool(), self.bucket_list()) }
    }

    /// Gives buckets to the output filters. What they leave is taken out. Answers a status.
    pub fn pass(self, brigade: &mut Brigade<'r>) -> c_int {
        let filters = field!(self, output_filters);
        // SAFETY: `from_raw` promises a live request of this thread; the brigade is its own.
        let status = unsafe { sys::ap_pass_brigade(filters, brigade.as_ptr()) };
        brigade.clear();
        status
    }

    /// Whether the head of the response has left.
    #[must_use]
    pub fn has_sent_head(self) -> bool {
        field!(self, sent_bodyct) != 0
    }

    /// The body will be another one than the handler has said: what was said of its bytes does not hold.
    pub fn forget_length(self) {
        let table = field!(self, headers_out);
        for name in [c"Content-Length", c"Content-MD5"] {
            // SAFETY: httpd makes the table with the request, and reads the name only during the call.
            unsafe { sys::apr_table_unset(table, name.as_ptr()) }
        }
    }

    /// The length of the response's body, where its head says one.
    #[must_use]
    pub fn declared_length(self) -> Option<u64> {
        let said = self.entry(OwnTable::HeadersOut, c"Content-Length")?;
        std::str::from_utf8(said).ok()?.parse().ok()
    }

    /// Whether a response of this status to this method has a body.
    #[must_use]
    pub fn answers_with_body(self) -> bool {
        !self.is_head() && !matches!(field!(self, status), 204 | 304)
    }

    /// Whether the client can see where the response ends without the end of the connection.
    #[must_use]
    pub fn is_framed(self) -> bool {
        field!(self, chunked) != 0 || self.entry(OwnTable::HeadersOut, c"Content-Length").is_some()
    }

    /// For a response that ends with its connection: lets the client see that it was cut.
    pub fn reset_if_unframed(self) {
        if !self.is_framed() && self.socket().is_some_and(|socket| socket.reset_on_close()) {
            // httpd closes an aborted connection at once instead of lingering.
            self.set_aborted();
        }
    }

    /// Tells httpd that the end of the response has been passed on.
    pub fn set_ended(self) {
        for request in std::iter::successors(Some(self), |request| request.previous()) {
            // SAFETY: `from_raw` promises live requests of this thread.
            unsafe { (*request.as_ptr()).eos_sent = 1 }
        }
    }

    /// The pool that lives until the response of the main request has left.
    #[must_use]
    pub fn main_pool(self) -> Pool<'r> {
        let mut request = self.as_ptr();
        // SAFETY: httpd keeps main requests for longer than their subrequests, on the same thread.
        unsafe {
            while !(*request).main.is_null() {
                request = (*request).main;
            }
            Pool::from_raw((*request).pool)
        }
    }
}
