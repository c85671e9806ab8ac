// SPDX-License-Identifier: MIT OR Apache-2.0
//! The beginning of a response that a handler wants to leave, and that may be all of it: it waits for a moment.

use std::{ffi::CStr, sync::OnceLock};

use gangway::{
    error::TOO_LONG,
    http::{is_field_name, is_field_value},
    phases::{Fact, Table},
    report,
};

use super::{Request, Socket, session::Session};

/// Filters that another thread than the request's may pass bytes through while that one does nothing with the request: they are httpd's
/// own, and call nobody else. By the names that httpd makes of those with which they are registered, in lower case. mod_headers is not among them: its
/// expressions may ask for another path, whose phases run there, with handlers that wait for a lock which the request's thread has.
fn is_plain(filter: &[u8]) -> bool {
    matches!(
        filter,
        b"byterange"
            | b"content_length"
            | b"core"
            | b"deflate"
            | b"http_header"
            | b"http_outerror"
            | b"mod_expires"
            | b"reqtimeout"
            | b"ssl/tls coalescing filter"
            | b"ssl/tls filter"
    )
}

impl Session<'_> {
    /// Whether what is to leave may wait, so that another thread lets it leave.
    pub(crate) fn may_hold(&self) -> bool {
        let request = self.request;
        self.flow.is_none()
            && !self.staging.is_sent
            && request.is_initial()
            && request.socket().is_some_and(has_room)
            && has_plain_filters(request)
    }

    /// Lets leave what is staged, now. Answers whether the client is still there.
    pub(crate) fn send(&mut self, flush: bool) -> bool {
        let excess = if self.staging.is_sent { 0 } else { self.settle_length() };
        if excess > 0 && self.is_first_excess() {
            report!(
                self.request,
                Warn,
                TOO_LONG,
                "a handler has written {excess} bytes more than its Content-Length before anything has left; the response has none"
            );
        }
        if flush || self.staging.is_held {
            self.push_flush();
        }
        (self.staging.bytes, self.staging.is_sent, self.staging.is_held) = (0, true, false);
        self.pass()
    }

    /// What waits leaves, for something is done that must find it gone.
    pub(crate) fn let_go(&mut self) {
        if self.staging.is_held {
            // Who writes next hears that the client has left.
            let _gone = self.send(true);
        }
    }

    /// The same on another thread, unless it would have to wait for the client. Answers whether there is nothing left to wait for.
    pub(super) fn let_go_if_free(&mut self) -> bool {
        if self.staging.is_held && !self.request.socket().is_some_and(|socket| socket.is_drained()) {
            return false;
        }
        // Another one leaves when the handler goes on.
        if self.staging.is_held && self.may_leave() {
            self.let_go();
        }
        true
    }

    /// Whether it leaves without a wait, and without anybody who is asked for it.
    fn may_leave(&self) -> bool {
        let Some(head) = head_length(self.request) else { return false };
        let length = head + self.staging.bytes + AROUND;
        self.request.socket().is_some_and(|socket| length <= socket.send_buffer() / 4 * 3)
    }
}

/// What httpd, the chunks and TLS add to what handlers have given, at most.
const AROUND: usize = 1024;
/// Below this a response that waits may be too much. Linux begins with so much where nobody says anything.
const LEAST_BUFFER: usize = 16 * 1024;

/// Whether the kernel takes what may wait. SendBufferSize is one for the server: asked once, and not for each request.
fn has_room(socket: Socket) -> bool {
    static HAS_ROOM: OnceLock<bool> = OnceLock::new();
    *HAS_ROOM.get_or_init(|| socket.send_buffer() >= LEAST_BUFFER)
}

/// The length of a head that httpd sends. In the place of another one it has an error's page answer, whose handlers are for the request's own thread.
fn head_length(request: Request<'_>) -> Option<usize> {
    let (mut length, mut is_sound) = (0, true);
    for fact in [Fact::ContentType, Fact::ContentEncoding] {
        if let Some(value) = request.fact(fact) {
            length += value.len();
            is_sound &= is_field_value(value);
        }
    }
    for table in [Table::HeadersOut, Table::ErrHeadersOut] {
        request.show_table(table, &mut |name, value| {
            length += name.len() + value.len() + 4;
            is_sound &= is_field_name(name) && is_field_value(value);
        });
    }
    is_sound.then_some(length)
}

fn has_plain_filters(request: Request<'_>) -> bool {
    // SAFETY: a `Request` is live on this thread; its filters live as long, and their names for the process.
    unsafe {
        let mut filter = (*request.as_ptr()).output_filters;
        while let Some(known) = filter.as_ref() {
            if !is_plain(CStr::from_ptr((*known.frec).name).to_bytes()) {
                return false;
            }
            filter = known.next;
        }
    }
    true
}
