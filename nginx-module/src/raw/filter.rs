// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's chain of filters for response heads.

use std::cell::Cell;

use nginx_sys::{
    ngx_http_output_header_filter_pt, ngx_http_request_t, ngx_http_top_header_filter, ngx_int_t,
};

use super::{ERROR, Request};

thread_local! {
    /// The filter that comes behind that of this module. nginx has one thread for configurations and requests, which it keeps in the
    /// processes that it forks; each configuration makes the chain anew.
    static NEXT: [Cell<ngx_http_output_header_filter_pt>; 2] = const { [const { Cell::new(None) }; 2] };
}

/// The filters of this module.
#[derive(Clone, Copy)]
pub(crate) enum HeadFilter {
    /// Answers the client's conditions.
    Conditions = 0,
    /// Adds what handlers of phases have said.
    Phases = 1,
}

fn next(filter: HeadFilter) -> ngx_http_output_header_filter_pt {
    NEXT.with(|all| all.get(filter as usize).and_then(Cell::get))
}

/// Has `filter` called before nginx's own filters. For postconfiguration, once in each: dynamic modules come last, and the last is called
/// first.
pub(crate) fn put_head_filter_first(
    which: HeadFilter,
    filter: unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t,
) {
    // SAFETY: a variable of nginx's that it and its modules use on its one thread alone, while a configuration is read.
    unsafe {
        let next = ngx_http_top_header_filter;
        NEXT.with(|all| all.get(which as usize).map(|place| place.set(next)));
        ngx_http_top_header_filter = Some(filter);
    }
}

impl Request {
    /// Calls the filter behind this one.
    pub(crate) fn run_next_head_filter(self, which: HeadFilter) -> ngx_int_t {
        // SAFETY: a function of the chain that this process' nginx has made, for a live request whose head is on its way through it.
        next(which).map_or(ERROR, |next| unsafe { next(self.raw()) })
    }
}
