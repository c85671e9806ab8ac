// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filters of response bodies: each piece goes to a thread of the pool, and what the filter makes of it to nginx's own filters. Meanwhile
//! the buffers of whoever writes the response stay taken, which holds it up.

use std::{cell::RefCell, sync::Arc};

use gangway::{
    engine::fence,
    phases::{HandlerPlace, RequestPhase},
    sys::lock,
};
use nginx_sys::{ngx_chain_t, ngx_http_request_t, ngx_int_t};

use super::{
    ask,
    filtering::{FilterAnswer, Filtering},
    tell,
};
use crate::{
    conf::LocationConf,
    filter_module,
    raw::{AGAIN, ERROR, INTERNAL_SERVER_ERROR, OK, Request, Ticket, Tickets, discard_chain, put_filters},
    serve::memo,
};

thread_local! {
    static FILTERED: RefCell<Tickets<Box<Filtering>>> = RefCell::default();
}

/// For the postconfiguration of the module that has this place among the filters.
pub(crate) fn install() {
    put_filters(head, body);
}

/// Lets `act` work on a response, if it is still there.
fn with<R>(ticket: Ticket, act: impl FnOnce(&mut Filtering) -> R) -> Option<R> {
    let mut found = FILTERED.with_borrow_mut(|all| all.take(ticket))?;
    let result = act(&mut found);
    FILTERED.with_borrow_mut(|all| all.put(ticket, found));
    Some(result)
}

fn remove(ticket: Ticket) -> Option<Box<Filtering>> {
    FILTERED.with_borrow_mut(|all| all.remove(ticket))
}

fn ticket_of(request: Request) -> Option<Ticket> {
    request.ticket(filter_module())
}

unsafe extern "C" fn head(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("filters::head", ERROR, || {
        // SAFETY: nginx calls a filter with a live request.
        let request = unsafe { Request::from_raw(r) };
        match begin(request) {
            // It leaves with the first bytes that a filter gives, so that one that fails is an error page.
            Some(true) => OK,
            Some(false) => request.run_next_filtered_head(),
            None => ERROR,
        }
    })
}

/// Whether filters are to see the body. `None` without memory.
fn begin(request: Request) -> Option<bool> {
    // Of another response, whose head has not left: this one comes in its place. Where the request has gone to another place nothing else tells of that one.
    request.set_filter_waits(false);
    if let Some(ticket) = ticket_of(request) {
        match remove(ticket) {
            Some(known) if !known.has_failed() => {}
            // The page that says so.
            _ => return Some(false),
        }
        request.set_ticket(filter_module(), None);
    }
    let location = request.location::<LocationConf>();
    let Some(place) = place_of(request, &location) else { return Some(false) };
    let place = &place;
    let status = request.response_status();
    if request.is_kept_in_memory() || status < 200 || status == 204 || status == 304 {
        return Some(false);
    }
    request.changes_body();
    if request.header_only() || request.is_head() {
        return Some(false);
    }
    request.needs_body_in_memory();
    let is_busy = memo::runs_handlers(request);
    let transit = memo::note(request, |notes| notes.transit(RequestPhase::OutputFilter)).ok()?;
    // An object of handlers that still run is theirs.
    let transit = if is_busy { Arc::new(transit.copy()) } else { transit };
    tell::tell_filter(request, place, &mut lock(&transit.snapshot))?;
    let ticket = FILTERED.with_borrow_mut(Tickets::reserve);
    if !request.on_end(on_end, ticket) {
        return None;
    }
    request.set_ticket(filter_module(), Some(ticket));
    let filtering = Box::new(Filtering::new(request, ticket, transit, place, ready));
    FILTERED.with_borrow_mut(|all| all.put(ticket, filtering));
    Some(true)
}

/// The place whose filters see the response, or whose request has some of its own.
fn place_of(request: Request, location: &LocationConf) -> Option<Arc<HandlerPlace>> {
    let place = location.handlers.place.as_ref();
    if let Some(place) = place.filter(|place| place.has(RequestPhase::OutputFilter)) {
        return Some(Arc::clone(place));
    }
    let transit = memo::transit(request).filter(|transit| transit.has_added(RequestPhase::OutputFilter));
    transit.map(|_| ask::place_at(location))
}

unsafe extern "C" fn body(r: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    fence("filters::body", ERROR, || {
        // SAFETY: nginx calls a filter with a live request.
        let request = unsafe { Request::from_raw(r) };
        // SAFETY: nginx has called this with the chain, whose buffers live as long as the request.
        let pass = || unsafe { request.run_next_body_filter(chain) };
        let Some(ticket) = ticket_of(request) else { return pass() };
        // SAFETY: nginx has called this with the chain, and the request is live.
        let answer = with(ticket, |filtering| unsafe { filtering.take_in(chain) });
        match answer {
            Some(FilterAnswer::Failed { shows_page: true }) => {
                // SAFETY: nginx has called this with the chain of a live request, and waits for the answer.
                unsafe { discard_chain(chain) };
                request.replace_filtered(INTERNAL_SERVER_ERROR)
            }
            Some(FilterAnswer::Failed { shows_page: false }) => ERROR,
            Some(FilterAnswer::Waits) => AGAIN,
            Some(FilterAnswer::Went(status)) => status,
            // Its page, or what comes when the request has been given up.
            None => pass(),
        }
    })
}

/// A run has given something, or has ended.
fn ready(ticket: Ticket) {
    let Some((request, run_posted)) =
        with(ticket, |filtering| (filtering.request(), filtering.request().posted_runner()))
    else {
        return;
    };
    if ticket_of(request) != Some(ticket) {
        // The request has gone to another place meanwhile, for an error's page: of this response nothing leaves.
        drop(remove(ticket));
        return;
    }
    with(ticket, Filtering::go_on);
    // Whoever writes the response has room again, or learns that it has failed.
    request.run_writer();
    run_posted();
}

/// nginx frees the request.
unsafe extern "C" fn on_end(data: *mut std::ffi::c_void) {
    fence("filters::on_end", (), || drop(remove(Ticket::from_data(data))));
}
