// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a request, and of its upstream.

use std::ffi::c_void;

use nginx_sys::{ngx_http_cleanup_add, ngx_http_finalize_request, ngx_http_run_posted_requests, ngx_int_t};

use super::{Request, Ticket, field::field};

impl Request {
    /// Runs `handler` with the ticket's [`Ticket::as_data`] when the request ends. Main requests of one connection share the list.
    pub(crate) fn on_end(self, handler: unsafe extern "C" fn(*mut c_void), ticket: Ticket) -> bool {
        // SAFETY: `from_raw` promises a live request, in whose pool nginx makes the entry.
        let cleanup = unsafe { ngx_http_cleanup_add(self.raw(), 0) };
        // SAFETY: NULL, or an entry that nginx has made for this call and reads when the request ends.
        match unsafe { cleanup.as_mut() } {
            Some(cleanup) => {
                cleanup.handler = Some(handler);
                cleanup.data = ticket.as_data();
                true
            }
            None => false,
        }
    }

    /// Has nginx throw the request's body away. Answers 0, or the status that answers the request.
    pub(crate) fn discard_body(self) -> ngx_int_t {
        // SAFETY: live request whose body nobody has read.
        unsafe { nginx_sys::ngx_http_discard_request_body(self.raw()) }
    }

    /// Ends the request: it is gone after this.
    pub(crate) fn finalize(self, status: ngx_int_t) {
        // SAFETY: live request that this module still holds.
        unsafe { ngx_http_finalize_request(self.raw(), status) }
    }

    /// Has nginx count one more that holds the main request.
    pub(super) fn hold(self) {
        let main = self.main();
        field!(main, set_count(field!(main, count()) + 1));
    }

    /// Takes back what [`Request::hold`] has counted, which was not the last.
    pub(super) fn let_go(self) {
        let main = self.main();
        field!(main, set_count(field!(main, count()) - 1));
    }

    /// Ends the request's upstream, but not the request: as ngx_http_upstream_create() does it for another one.
    pub(crate) fn leave_upstream(self) {
        // SAFETY: NULL, or the upstream of a live request, whose clean-up is NULL or an entry of the request's list.
        let cleanup = unsafe {
            field!(self, upstream).as_ref().and_then(|upstream| upstream.cleanup.as_ref()).copied().flatten()
        };
        if let Some(cleanup) = cleanup {
            self.hold();
            // SAFETY: ngx_http_upstream_cleanup() of this live request, which gives back the count that was added for it.
            unsafe { cleanup(self.raw().cast()) }
        }
    }

    /// Runs what an event has made ready on the connection, as nginx's own event handlers do at their end.
    pub(crate) fn posted_runner(self) -> impl FnOnce() {
        let connection = field!(self, connection);
        // SAFETY: nginx keeps a connection's memory when it is closed, and the function checks for that.
        move || unsafe { ngx_http_run_posted_requests(connection) }
    }
}
