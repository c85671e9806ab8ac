// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response body in unbuffered mode: what has been read goes to the client before more is read.

use std::ffi::c_void;

use gangway::engine::fence;
use nginx_sys::ngx_int_t;

use super::{
    ERROR,
    output::{Sink, take},
    state::{Context, Rest, Stage},
};
use crate::raw::{NoMemory, Upstream};

pub(super) unsafe extern "C" fn input_filter(data: *mut c_void, count: isize) -> ngx_int_t {
    fence("stream::input_filter", ERROR, || {
        let Ok(count) = usize::try_from(count) else { return ERROR };
        // SAFETY: nginx gives the context that `prepare` gave to the upstream of this live request. It has read `count` bytes
        // behind `last`, and leaves it to the filter to say so.
        let done = unsafe {
            Context::with_data(data, |context, upstream| filter(context, upstream, upstream.come(count)))
        };
        done.unwrap_or(Err(ERROR)).err().unwrap_or(0)
    })
}

fn filter(context: &Context, upstream: Upstream, input: &[u8]) -> Result<(), ngx_int_t> {
    let response = &mut *context.response.borrow_mut();
    if context.stage() == Stage::Closed || upstream.length() == 0 {
        upstream.set_keeps_connection(false);
        return Ok(());
    }
    if response.decoder.ended() {
        // A response without a body, whose end was there with its head.
        upstream.set_length(0);
        return Ok(());
    }
    if take(context, response, upstream, input, &mut Now(upstream))?
        && response.decoder.wanted().is_none()
        && let Rest::Exactly(left) = response.rest
    {
        upstream.set_length(i64::try_from(left).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// What goes to the client before more is read.
struct Now(Upstream);

impl Sink for Now {
    fn add(&mut self, context: &Context, body: &[u8]) -> Result<(), ngx_int_t> {
        self.0.append_output(context.request, body).map_err(|NoMemory| ERROR)
    }

    fn done(&mut self) {
        self.0.set_length(0);
    }

    fn fail(&mut self) {
        self.0.set_failed();
    }
}
