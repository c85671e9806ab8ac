// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body as nginx reads it: all of it before a handler begins, or while the handler runs.
//!
//! A request may meet several handlers: `error_page`, X-Accel-Redirect and the like send it on. nginx gives the next one
//! whatever there is of a body that an earlier one has begun to stream, as if it were all. Here the next one gets
//! all of it, or an error.

use std::{ptr, time::Duration};

use gangway::{
    report,
    {engine::fence, error::BODY_FAILED},
};
use nginx_sys::{
    NGX_HTTP_VERSION_20, ngx_chain_t, ngx_del_timer, ngx_handle_read_event, ngx_http_block_reading,
    ngx_http_event_handler_pt, ngx_http_read_client_request_body, ngx_http_read_unbuffered_request_body,
    ngx_http_request_body_t, ngx_http_request_empty_handler, ngx_http_request_t, ngx_int_t,
};

use super::{
    Request, buffers,
    field::field,
    status::{AGAIN, BAD_GATEWAY, BAD_REQUEST, DONE, OK, SPECIAL_RESPONSE},
};

/// A part of a request body.
pub(crate) enum RequestBuffer<'a> {
    Memory(&'a [u8]),
    File { fd: i32, offset: u64, len: u64 },
}

impl RequestBuffer<'_> {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }
}

/// What nginx has of a body when a handler wants it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyProgress {
    /// Nothing has been read, or all of it is there, or nginx has thrown it away: its own function knows what to do.
    Settled,
    /// An earlier handler was to stream it and has not taken a byte.
    Begun,
    /// Something of it is gone.
    Lost,
}

/// What came of an attempt to read more of a body that is streamed.
pub(crate) enum More {
    /// Some bytes, or the end, or both.
    Came,
    /// Nothing now: nginx calls the request's read handler.
    Later,
    /// The request ends with this status.
    Failed(ngx_int_t),
}

impl Request {
    /// Reads the body by nginx's rules, then calls `ready`; with `stream` as soon as it has begun to come. Answers what a
    /// content handler answers.
    pub(crate) fn read_body(
        self,
        stream: bool,
        ready: unsafe extern "C" fn(*mut ngx_http_request_t),
    ) -> ngx_int_t {
        match self.stage() {
            BodyProgress::Settled => {}
            BodyProgress::Begun => return self.resume_body(stream, ready),
            BodyProgress::Lost if self.was_made_get() => self.forget_body(),
            BodyProgress::Lost => {
                report!(
                    self,
                    Error,
                    BODY_FAILED,
                    "a part of the request body is gone with an earlier handler of this request; with \
                     gangway_request_buffering on it can be read again",
                );
                // The error that has led here, if there is one that the client is to see.
                let shown = field!(self, err_status) as ngx_int_t;
                return if shown >= BAD_REQUEST { shown } else { BAD_GATEWAY };
            }
        }
        field!(self, set_request_body_no_buffering(u32::from(stream)));
        // SAFETY: live request in the content phase.
        let status = unsafe { ngx_http_read_client_request_body(self.raw(), Some(ready)) };
        if status >= SPECIAL_RESPONSE { status } else { DONE }
    }

    /// The body that nginx has read, as its chain. A part of a page has none.
    pub(crate) fn body_chain(self) -> *mut ngx_chain_t {
        let body = field!(self, request_body);
        // SAFETY: the body of a live request, in its pool.
        if body.is_null() || self.is_part() { ptr::null_mut() } else { unsafe { (*body).bufs } }
    }

    /// The body that nginx has read, in order.
    pub(crate) fn body_buffers(&self) -> impl Iterator<Item = RequestBuffer<'_>> {
        let mut link = self.body_chain();
        std::iter::from_fn(move || {
            // SAFETY: a chain of the request's pool, complete when the body's handler is called.
            let (buffer, next) = unsafe { link.as_ref() }.map(|link| (link.buf, link.next))?;
            link = next;
            // SAFETY: a link has a buffer; one in a file has that file; one in memory points at its bytes.
            unsafe {
                let buffer = &*buffer;
                if buffer.in_file() != 0 {
                    let len = (buffer.file_last - buffer.file_pos).max(0) as u64;
                    let offset = buffer.file_pos.max(0) as u64;
                    return Some(RequestBuffer::File { fd: (*buffer.file).fd, offset, len });
                }
                let len = buffer.last.offset_from(buffer.pos).max(0) as usize;
                let bytes = if len == 0 { &[][..] } else { std::slice::from_raw_parts(buffer.pos, len) };
                Some(RequestBuffer::Memory(bytes))
            }
        })
    }

    fn body(&self) -> Option<&ngx_http_request_body_t> {
        // SAFETY: NULL, or the body of a live request.
        unsafe { field!(self, request_body).as_ref() }
    }

    fn stage(self) -> BodyProgress {
        let Some(body) = self.body().filter(|_| self.is_main() && self.expects_body()) else {
            return BodyProgress::Settled;
        };
        let length = if self.is_framed_by_streams() {
            body.received
        } else if self.is_chunked() {
            field!(self, headers_in.content_length_n)
        } else {
            field!(self, headers_in.content_length_n) - body.rest.max(0)
        };
        let is_here =
            || self.body_buffers().map(|part| part.len()).sum::<u64>() == length.max(0).unsigned_abs();
        match (body.last_saved() != 0, self.is_reading_body()) {
            // What was read into memory or a file at once is still there; its filters may have changed its length.
            (true, false) if !self.streams_body() || is_here() => BodyProgress::Settled,
            (false, true) if is_here() => BodyProgress::Begun,
            _ => BodyProgress::Lost,
        }
    }

    /// Whether a body of at least a byte is to come, or was.
    fn expects_body(self) -> bool {
        self.is_chunked() || field!(self, headers_in.content_length_n) > 0
    }

    fn is_framed_by_streams(self) -> bool {
        field!(self, http_version) >= NGX_HTTP_VERSION_20 as usize
    }

    /// Whether the rest of the body is still to be read by [`Request::read_more`].
    pub(crate) fn is_reading_body(self) -> bool {
        field!(self, reading_body()) != 0
    }

    /// Whether nginx itself has made a GET of the client's request: it asks for something else, such as an error page.
    fn was_made_get(self) -> bool {
        field!(self, method) == nginx_sys::NGX_HTTP_GET as usize
            && !self.bytes(field!(self, request_line)).starts_with(b"GET ")
    }

    fn forget_body(self) {
        let body = field!(self, request_body);
        if !body.is_null() {
            // SAFETY: the body of a live request; its memory is the pool's.
            unsafe { (*body).bufs = ptr::null_mut() }
        }
    }

    /// Goes on with a body that an earlier handler was to stream.
    fn resume_body(self, stream: bool, ready: unsafe extern "C" fn(*mut ngx_http_request_t)) -> ngx_int_t {
        field!(self, set_request_body_no_buffering(u32::from(stream)));
        self.hold();
        if stream {
            // SAFETY: a body handler of ours, with a live request, as ngx_http_read_client_request_body() calls it.
            unsafe { ready(self.raw()) };
            return DONE;
        }
        // What comes of a stream's body is thrown away while this is set and nobody streams it.
        field!(self, set_reading_body(0));
        // SAFETY: the body of a live request, which `stage` has found.
        unsafe { (*field!(self, request_body)).post_handler = Some(ready) };
        field!(self, read_event_handler = Some(on_rest));
        field!(self, write_event_handler = Some(ngx_http_request_empty_handler));
        let status = self.read_rest();
        if status < SPECIAL_RESPONSE {
            return DONE;
        }
        // Nobody has ended the request: `ready` has not been called.
        self.let_go();
        status
    }

    /// Reads on until all of the body is there, then calls the handler that waits for it. The request may be gone after it.
    fn read_rest(self) -> ngx_int_t {
        // SAFETY: live request whose body is being read.
        unsafe {
            let body = field!(self, request_body);
            // nginx calls the handler, and still uses the request after that.
            let ready = (*body).post_handler.replace(no_handler);
            let status = ngx_http_read_unbuffered_request_body(self.raw());
            (*body).post_handler = ready;
            if status == OK
                && let Some(ready) = ready
            {
                ready(self.raw());
            }
            status
        }
    }

    /// Reads more of a body that is streamed.
    pub(crate) fn read_more(self) -> More {
        // SAFETY: live request whose body is being read.
        match unsafe { ngx_http_read_unbuffered_request_body(self.raw()) } {
            status if status >= SPECIAL_RESPONSE => More::Failed(status),
            AGAIN if self.body_chain().is_null() => More::Later,
            _ => More::Came,
        }
    }

    /// Takes what has come of a body that is streamed: nginx may use its memory again.
    pub(crate) fn take_body(self, out: &mut Vec<u8>) {
        for part in self.body_buffers() {
            // Nothing that is streamed is written to a file.
            if let RequestBuffer::Memory(bytes) = part {
                out.extend_from_slice(bytes);
            }
        }
        // SAFETY: the body of a live request; the links stay in the pool, the buffers are nginx's again when they are empty.
        unsafe {
            for buffer in buffers(self.body_chain()) {
                (*buffer).pos = (*buffer).last;
            }
        }
        self.forget_body();
    }

    /// Nobody wants more of the body now, so the client is given time.
    pub(crate) fn pause_body(self) {
        let read = self.connection().read();
        if read.has_timer() {
            // SAFETY: a timer of this thread's loop that is set.
            unsafe { ngx_del_timer(read.raw()) }
        }
    }

    /// Whether more of a body may be there to be read.
    pub(crate) fn is_readable(self) -> bool {
        self.is_framed_by_streams() || self.connection().read().is_ready()
    }

    /// Something has come that nobody wants yet. Answers whether the client is there.
    pub(crate) fn leave_unread(self) -> bool {
        let read = self.connection().read();
        field!(read, set_timedout(0));
        if !self.is_framed_by_streams() {
            // Event methods without edges would tell of it again and again. A failure shows when the body is read.
            // SAFETY: the read event of a live connection.
            let _ = unsafe { ngx_handle_read_event(read.raw(), 0) };
        }
        field!(self.connection(), error()) == 0 && !self.has_left_in_the_body()
    }

    /// Whether the client has closed a connection that does not hold the rest of the body. What a connection with TLS
    /// holds shows when it is read.
    fn has_left_in_the_body(self) -> bool {
        let connection = self.connection();
        if !connection.read().is_about_to_end() || self.is_framed_by_streams() || self.is_tls() {
            return false;
        }
        // What nginx has been told may have been said of another connection: see `ConnectionEvent::forget`.
        let mut entries = [libc::pollfd { fd: connection.descriptor(), events: libc::POLLRDHUP, revents: 0 }];
        gangway::sys::poll(&mut entries, Some(Duration::ZERO));
        if entries[0].revents == 0 {
            return false;
        }
        let mut held: libc::c_int = 0;
        // SAFETY: a live descriptor; FIONREAD writes an int.
        if unsafe { libc::ioctl(connection.descriptor(), libc::FIONREAD, &raw mut held) } != 0 {
            return true;
        }
        // A chunked body is longer than nothing.
        let rest = if self.is_chunked() { 1 } else { self.body().map_or(0, |body| body.rest) };
        i64::from(held) < rest
    }

    /// Has nginx call `readable` when more of the body comes.
    pub(crate) fn watch_body(self, readable: ngx_http_event_handler_pt) {
        field!(self, read_event_handler = readable);
    }

    /// Nothing that the client still sends is of interest.
    pub(crate) fn ignore_body(self) {
        field!(self, read_event_handler = Some(ngx_http_block_reading));
    }
}

/// More of a body has come that is read to its end before its handler begins.
unsafe extern "C" fn on_rest(r: *mut ngx_http_request_t) {
    fence("on_rest", (), || {
        // SAFETY: nginx calls a read handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let status = request.read_rest();
        if status >= SPECIAL_RESPONSE {
            request.finalize(status);
        }
    });
}

unsafe extern "C" fn no_handler(_: *mut ngx_http_request_t) {}
