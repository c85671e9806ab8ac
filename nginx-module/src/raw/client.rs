// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client of a request: how it is watched, and what waits to be sent to it.

use nginx_sys::{
    ngx_add_timer, ngx_del_timer, ngx_handle_read_event, ngx_handle_write_event, ngx_http_event_handler_pt,
    ngx_http_output_filter, ngx_http_send_header, ngx_http_send_special, ngx_http_test_reading, ngx_int_t,
};

use super::{Request, field::field};

impl Request {
    /// Whether a filter of the response works on its bytes, and may keep some back.
    pub(crate) fn filters_hold_back(self) -> bool {
        field!(self, main_filter_need_in_memory()) != 0 || field!(self, filter_need_in_memory()) != 0
    }

    /// Whether the last filter keeps bytes that are to go to the client.
    pub(crate) fn has_output(self) -> bool {
        !field!(self, out).is_null()
    }

    /// Lets nginx call the request's write handler after the current event.
    pub(crate) fn post_write_event(self) {
        self.connection().write().post();
    }

    /// Calls the request's write handler. The request may be gone after it.
    pub(crate) fn run_write_handler(self) {
        if let Some(handler) = field!(self, write_event_handler) {
            // SAFETY: nginx's own handler for this live request, called as nginx calls it.
            unsafe { handler(self.raw()) }
        }
    }

    /// Whether output waits in nginx.
    pub(crate) fn is_buffered(self) -> bool {
        field!(self, buffered()) != 0
            || !field!(self, postponed).is_null()
            || field!(self.connection(), buffered()) != 0
    }

    /// Lets nginx watch for a client that leaves, and call `writable` when more can be sent.
    pub(crate) fn watch_client(self, writable: ngx_http_event_handler_pt) {
        field!(self, write_event_handler = writable);
        self.watch_client_alone();
    }

    /// Lets nginx watch for a client that leaves.
    pub(crate) fn watch_client_alone(self) {
        field!(self, read_event_handler = Some(ngx_http_test_reading));
        let read = self.connection().read();
        if read.is_ready() {
            // What arrived before is not announced again.
            read.post();
        } else {
            // SAFETY: the read event of a live connection, as ngx_http_upstream_init_request() does. An error here shows
            // again at the next use of the connection.
            let _ = unsafe { ngx_handle_read_event(read.raw(), 0) };
        }
    }

    /// After output: waits for the client as long as send_timeout, or not at all if nothing waits.
    pub(crate) fn watch_output(self) -> bool {
        let (timeout, lowat) = (self.core_location().send_timeout, self.core_location().send_lowat);
        let connection = self.connection();
        let write = connection.write();
        // SAFETY: the write event of a live connection.
        unsafe {
            if field!(connection, buffered()) != 0 {
                if !write.is_delayed() && self.raw() == field!(connection, data).cast() {
                    ngx_add_timer(write.raw(), timeout);
                }
            } else if write.has_timer() && !write.is_delayed() {
                ngx_del_timer(write.raw());
            }
            ngx_handle_write_event(write.raw(), lowat) == 0
        }
    }

    /// Whether a client took nothing for as long as send_timeout, and whether output is held back by a rate limit.
    pub(crate) fn write_state(self) -> (bool, bool) {
        let write = self.connection().write();
        (write.has_timed_out(), write.is_delayed())
    }

    pub(crate) fn set_timed_out(self) {
        field!(self.connection(), set_timedout(1));
    }

    /// Sends what waits in nginx.
    pub(crate) fn flush(self) -> ngx_int_t {
        // SAFETY: live request whose header has been sent.
        let status = unsafe { ngx_http_send_special(self.raw(), nginx_sys::NGX_HTTP_FLUSH as usize) };
        if status != 0 || field!(self, out).is_null() {
            return status;
        }
        // SSI takes the word for itself. Where something is said to wait, which it does, nothing at all passes by every filter and has it written.
        let connection = self.connection();
        let buffered = field!(connection, buffered()) | nginx_sys::NGX_HTTP_WRITE_BUFFERED;
        field!(connection, set_buffered(buffered));
        // SAFETY: live request whose header has been sent; no chain is one that says nothing.
        unsafe { ngx_http_output_filter(self.raw(), std::ptr::null_mut()) }
    }

    pub(crate) fn send_header(self) -> ngx_int_t {
        // SAFETY: live request whose header has not been sent.
        unsafe { ngx_http_send_header(self.raw()) }
    }
}
