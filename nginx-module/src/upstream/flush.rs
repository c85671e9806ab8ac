// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output that waits for more of it does not wait for long.
//!
//! In buffered mode nginx hands a buffer on when it is full. A backend that pauses would leave the start of its output
//! there for as long as it pauses. So a read that leaves the connection empty starts a timer; when the backend has been
//! silent for that time, the buffer goes on as it is, and filters that hold bytes back (gzip) are told to let them go. A
//! backend that sends a little again and again does not pause, but what it sends waits no longer than `PATIENCE` of
//! `state::flush`.

use gangway::engine::fence;
use nginx_sys::{ngx_event_t, ngx_msec_t};

use super::state::Context;
use crate::raw::{Request, Upstream};

/// Hands on what is there, unless more comes soon.
pub(super) fn start_timer(context: &Context) {
    context.flush.start_timer(now(), || context.timer(on_timer));
}

fn now() -> ngx_msec_t {
    // SAFETY: a plain number of the worker's own thread.
    unsafe { nginx_sys::ngx_current_msec }
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("flush::on_timer", (), || {
        // SAFETY: nginx calls this with the event of a context's timer.
        let found = unsafe {
            Context::with_timer(event, |context, upstream| {
                hand_on(context, upstream).then_some(context.request)
            })
        };
        if let Some(request) = found.flatten() {
            let run_posted = request.posted_runner();
            send(request);
            run_posted();
        }
    });
}

/// Gives the part of a buffer that is there to the filter. Answers whether nginx is to send now.
fn hand_on(context: &Context, upstream: Upstream) -> bool {
    let (request, pipe) = (context.request, upstream.pipe());
    // SAFETY: the pipe that `Upstream::install` has made for the live request, its list of buffers, and the filter that
    // was given to it, which takes a reference of its own to the context.
    unsafe {
        if pipe.is_null() || (*pipe).aio() != 0 || !(*pipe).writing.is_null() || (*pipe).upstream.is_null() {
            return false;
        }
        let first = (*pipe).free_raw_bufs;
        if let Some(link) = first.as_ref()
            && (*link.buf).pos < (*link.buf).last
        {
            (*pipe).free_raw_bufs = link.next;
            (*link.buf).num = (*pipe).num;
            (*pipe).num += 1;
            let (filter, buffer) = ((*pipe).input_filter, link.buf);
            let status = context.flush.at_once(|| filter.map_or(-1, |filter| filter(pipe, buffer)));
            if status == 0 {
                // ngx_free_chain()
                (*first).next = (*(*pipe).pool).chain;
                (*(*pipe).pool).chain = first;
            } else {
                (*pipe).set_upstream_error(1);
            }
        } else if request.filters_hold_back() || request.has_output() {
            // The last filter keeps what is small, a head without its body above all.
            // An error here is one of the client's connection, which the handler finds.
            let _ = request.flush();
        }
        if (*pipe).cacheable() != 0 {
            // What goes to a cache file is read back from there: a second turn sends it.
            request.post_write_event();
        }
    }
    true
}

/// Lets nginx send, by ngx_http_upstream_process_downstream(), which is the request's handler as long as its pipe is in
/// use. The request may be gone after it.
fn send(request: Request) {
    request.run_write_handler();
}
