// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's connections and their events.

use std::{os::fd::RawFd, ptr::NonNull};

use nginx_sys::{
    ngx_connection_t, ngx_event_t, ngx_post_event, ngx_posted_events, ngx_recv_chain_pt, ngx_recv_pt,
};

use super::field::field;

/// A connection of nginx: a client's, a backend's, or one of this module's.
///
/// nginx has the connections and events of a process in arrays that it makes once and never frees; those of HTTP/2 and
/// HTTP/3 streams live as long as their requests. So the memory is there as long as this value is used, even if the
/// connection is closed; which of its fields mean something then is nginx's to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection(NonNull<ngx_connection_t>);

impl Connection {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `raw` is NULL or a connection of this process's event loop, which calls; one of an HTTP/2 or HTTP/3 stream is not used
    /// after its request.
    pub(crate) unsafe fn from_raw(raw: *mut ngx_connection_t) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// # Safety
    /// `raw` is a connection of this process's event loop, which calls; one of an HTTP/2 or HTTP/3 stream is not used after its
    /// request.
    pub(super) unsafe fn from_raw_unchecked(raw: *mut ngx_connection_t) -> Self {
        // SAFETY: the caller's pointer is not NULL.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    pub(crate) fn raw(self) -> *mut ngx_connection_t {
        self.0.as_ptr()
    }

    pub(crate) fn read(self) -> ConnectionEvent {
        // SAFETY: nginx gives every connection its events when it makes the arrays, and a stream's with the stream.
        ConnectionEvent(unsafe { NonNull::new_unchecked(field!(self, read)) })
    }

    pub(crate) fn write(self) -> ConnectionEvent {
        // SAFETY: nginx gives every connection its events when it makes the arrays, and a stream's with the stream.
        ConnectionEvent(unsafe { NonNull::new_unchecked(field!(self, write)) })
    }

    pub(crate) fn descriptor(self) -> RawFd {
        field!(self, fd)
    }

    /// Has nginx watch it no more. Where somebody else keeps the socket open, closing the connection would not do that: what happens
    /// to the socket would be told to the next connection at this place.
    pub(crate) fn unwatch(self) {
        // SAFETY: the functions of the event method are set before there are connections; this one is open.
        unsafe {
            if let Some(remove) = nginx_sys::ngx_event_actions.del_conn {
                remove(self.raw(), 0);
            }
        }
    }

    /// Ends what is on the connection of a client or of its stream, as nginx does when `worker_shutdown_timeout` is over.
    pub(crate) fn shut(self) {
        field!(self, set_close(1));
        field!(self, set_error(1));
        let read = self.read().raw();
        // SAFETY: the event of a live connection, whose handler looks at these two flags first.
        unsafe {
            if let Some(handler) = (*read).handler {
                handler(read);
            }
        }
    }

    /// How many bytes have been sent on it for the present request.
    pub(crate) fn sent(self) -> i64 {
        field!(self, sent)
    }

    pub(crate) fn is_tls(self) -> bool {
        !field!(self, ssl).is_null()
    }

    /// The function that reads into one buffer.
    pub(crate) fn receiver(self) -> ngx_recv_pt {
        field!(self, recv)
    }

    pub(crate) fn set_receiver(self, receiver: ngx_recv_pt) {
        field!(self, recv = receiver);
    }

    /// The function that reads into a chain of buffers.
    pub(crate) fn chain_receiver(self) -> ngx_recv_chain_pt {
        field!(self, recv_chain)
    }

    pub(crate) fn set_chain_receiver(self, receiver: ngx_recv_chain_pt) {
        field!(self, recv_chain = receiver);
    }

    /// A failure of the connection is an error in the log.
    pub(crate) fn log_errors(self) {
        field!(self, set_log_error(nginx_sys::ngx_connection_log_error_e_NGX_ERROR_ERR));
    }

    /// A failure of the connection is no error: the backend may have gone before anybody wanted something of it.
    pub(crate) fn log_errors_as_info(self) {
        field!(self, set_log_error(nginx_sys::ngx_connection_log_error_e_NGX_ERROR_INFO));
    }

    /// Sends what can be sent at once of some last words; the rest is given up.
    pub(crate) fn send_now(self, words: &'static [u8]) {
        let (write, read) = (self.write(), self.read());
        let is_open = write.is_ready() && !write.has_failed() && !read.has_ended() && !read.has_failed();
        if let Some(send) = field!(self, send).filter(|_| is_open) {
            // SAFETY: nginx's function for this connection, which only reads the bytes.
            unsafe { send(self.raw(), words.as_ptr().cast_mut(), words.len()) };
        }
    }
}

/// An event of a [`Connection`].
#[derive(Clone, Copy)]
pub(crate) struct ConnectionEvent(NonNull<ngx_event_t>);

impl ConnectionEvent {
    pub(crate) fn raw(self) -> *mut ngx_event_t {
        self.0.as_ptr()
    }

    pub(crate) fn is_ready(self) -> bool {
        field!(self, ready()) != 0
    }

    pub(crate) fn set_ready(self, is_ready: bool) {
        field!(self, set_ready(u32::from(is_ready)));
    }

    pub(crate) fn has_timed_out(self) -> bool {
        field!(self, timedout()) != 0
    }

    /// The other side has closed its direction, and everything has been read.
    pub(crate) fn has_ended(self) -> bool {
        field!(self, eof()) != 0
    }

    /// The other side has closed its direction, as the kernel says.
    pub(crate) fn is_about_to_end(self) -> bool {
        field!(self, pending_eof()) != 0
    }

    /// There is nothing, whatever nginx has been told: an event of the kernel can be that of a connection which was closed before it was
    /// looked at. nginx tells the two apart by one bit of their common place, which is the old one when the place was given away twice since.
    pub(crate) fn forget(self) {
        self.set_ready(false);
        field!(self, set_pending_eof(0));
    }

    pub(crate) fn has_failed(self) -> bool {
        field!(self, error()) != 0
    }

    pub(crate) fn is_delayed(self) -> bool {
        field!(self, delayed()) != 0
    }

    pub(crate) fn has_timer(self) -> bool {
        field!(self, timer_set()) != 0
    }

    /// Whether nginx has said what is done when it comes.
    pub(crate) fn has_handler(self) -> bool {
        field!(self, handler).is_some()
    }

    /// How many bytes the kernel has, as far as it says so.
    pub(crate) fn available(self) -> i32 {
        field!(self, available)
    }

    /// So many bytes are said to be there.
    pub(crate) fn set_available(self, count: usize) {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        field!(self, available = count);
    }

    /// Has nginx call its handler after the current event, and after those that are to come then already.
    pub(crate) fn post_behind(self) {
        // SAFETY: an event of this thread's loop, which is in the loop's own queue if it says so.
        unsafe {
            if field!(self, posted()) != 0 {
                nginx_sys::ngx_delete_posted_event(self.raw());
            }
        }
        self.post();
    }

    /// Has nginx call its handler after the current event.
    pub(crate) fn post(self) {
        // SAFETY: an event of this thread's loop and the loop's own queue.
        unsafe { ngx_post_event(self.raw(), &raw mut ngx_posted_events) }
    }
}
