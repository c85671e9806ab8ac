// SPDX-License-Identifier: MIT OR Apache-2.0
//! A head whose body has not begun waits a moment for it.
//!
//! Many applications write the head and the body apart. nginx takes the head of a response for a decision: from then on a
//! backend that dies is a cut response, and no other backend is asked. So a head that comes alone is shown to nginx when the
//! first byte of the body is there, or when the backend pauses ([`UpstreamConf::flush_wait`], after which the
//! head goes to the client anyway). If the backend dies before, the request is as open as it was.
//!
//! nginx asks `process_header` only after it has read something. The last byte of the head is kept back for that, and is
//! what nginx reads when the wait is over.
//!
//! [`UpstreamConf::flush_wait`]: crate::conf::UpstreamConf::flush_wait

use std::time::Duration;

use gangway::{engine::fence, protocol::Role};
use nginx_sys::{ngx_connection_t, ngx_event_t};

use super::state::{
    Context, Response,
    hold::{Kept, Wait, WaitChange},
};
use crate::raw::{AGAIN, Connection, ERROR, Upstream};

/// Lets a head that is whole wait for its body, if it has to.
pub(super) fn begin(context: &Context, response: &Response, upstream: Upstream) -> bool {
    let wait = context.conf().flush_wait();
    if context.hold.wait() != Wait::Open
        || wait == 0
        || !upstream.is_buffering()
        || !has_body(context, response)
    {
        return false;
    }
    let unread = upstream.unread();
    if response.begins_body(unread) {
        return false;
    }
    let in_head = unread.is_empty();
    // A cached response has none.
    let Some(connection) = upstream.connection() else { return false };
    let Some(byte) = upstream.keep_back() else { return false };
    upstream.uncount_received(1);
    let mut timer = context.timer(on_timer);
    timer.set(Duration::from_millis(wait as u64));
    context.hold.begin(Kept { byte, in_head }, connection, Some(receive), timer);
    true
}

/// Whether the body that the head speaks of has at least a byte.
fn has_body(context: &Context, response: &Response) -> bool {
    let head = response.parser.head();
    context.script.role == Role::Responder
        && !context.request.is_head()
        && !context.request.is_cached()
        && !response.decoder.ended()
        && !matches!(head.status(), 204 | 304)
        && head.get(b"content-length").is_none_or(|length| length != b"0")
}

/// Whether the end of the connection is a proper end of a response that has no byte in its body.
fn may_end(response: &Response) -> bool {
    response.decoder.wanted().is_none() && response.parser.head().get(b"content-length").is_none()
}

unsafe extern "C" fn receive(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    fence("hold::receive", ERROR, || {
        // SAFETY: nginx reads from the live connection of a request whose upstream is ours: its data is the request. The
        // room is at least that of the byte which `begin` gave back, and nothing is written behind `size`.
        unsafe {
            Context::with((*c).data.cast(), |context, _| {
                let connection = Connection::from_raw(c)?;
                let (read, kept) = context.hold.waiting().filter(|_| size > 0)?;
                // One byte of room may be all that there is: then the body waits in the kernel.
                let count = if size > 1 { read?(c, buffer.add(1), size - 1) } else { AGAIN };
                let mut change = WaitChange::Told;
                if count == AGAIN && size > 1 && context.hold.wait() != Wait::Paused {
                    return Some(AGAIN);
                }
                if count == AGAIN {
                    // What comes with the byte is more than was read.
                    connection.read().set_ready(size == 1);
                } else if count <= 0 {
                    if !may_end(&context.response.borrow()) {
                        // The head has not been seen by anybody: another backend may be asked.
                        context.hold.stop(Some(connection), WaitChange::Told);
                        return Some(count);
                    }
                    if count < 0 {
                        change = WaitChange::Broken;
                    }
                    // nginx reads again, and finds the same.
                    connection.read().set_ready(true);
                }
                buffer.write(kept.byte);
                context.hold.stop(Some(connection), change);
                Some(count.max(0) + 1)
            })
        }
        .flatten()
        .unwrap_or(ERROR)
    })
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("hold::on_timer", (), || {
        // SAFETY: nginx calls this with the event of a context's timer.
        let found = unsafe {
            Context::with_timer(event, |context, upstream| {
                context.hold.pause();
                (context.request, upstream)
            })
        };
        if let Some((request, upstream)) = found {
            // The timer runs only while nginx waits for the head. The request may be gone after it.
            let run_posted = request.posted_runner();
            upstream.run_read_handler(request);
            run_posted();
        }
    });
}
