// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections that wait for another request.
//!
//! A wrapper around nginx's balancer: it chooses an address as always, and an idle connection to that address is taken
//! if there is one. `upstream{}` groups with a `keepalive` of their own are left to it.
//!
//! A FastCGI process usually serves one connection at a time: an idle connection pins it. So a request on a fresh
//! connection that gets no answer signals it in memory that all workers share ([`signals`]), and they close their idle
//! connections to that address as long as it does.
//!
//! A connection that is there at once has its request at once: see [`send::begin`].

mod connect;
mod idle;
mod reuse;
mod signals;

use std::{ffi::c_void, ptr, time::Duration};

use gangway::{engine::fence, status::Incident, sys::Progress};
use nginx_sys::{
    NGX_PEER_FAILED, ngx_event_t, ngx_http_request_t, ngx_http_upstream_create_round_robin_peer,
    ngx_http_upstream_init_peer_pt, ngx_http_upstream_main_conf_t, ngx_http_upstream_module,
    ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_pcalloc, ngx_peer_connection_t, ngx_uint_t,
};

use super::{
    ERROR,
    address::Address,
    send,
    state::{Context, peer::Keeping},
};
use crate::{
    conf::{MainConf, Scheme},
    raw::{AGAIN, Balancer, Conf, DONE, OK, Request, Upstream},
};
pub(crate) use idle::stop as stop_listening;
use reuse::Chosen;
pub(crate) use signals::make as make_signals;

/// How long an answer may take before it is looked whether anybody has accepted a fresh connection.
const PATIENCE: Duration = Duration::from_millis(20);
/// The same where processes are known to be at work and may come back: so they are let go at the first look, and at the next
/// those that had only just begun.
const PATIENCE_AT_WORK: Duration = Duration::from_millis(5);
/// A request on a connection that was idle has been read by then, or its process works for an earlier one.
const UNREAD: Duration = Duration::from_millis(50);
/// How often a request that waits signals it again.
const REPEAT: Duration = Duration::from_millis(20);
/// For so many looks a connection that was accepted counts as one that is being served.
const YOUNG: u32 = 5;

/// Comes before the balancer of every upstream that does not keep connections itself.
pub(crate) fn install(cf: &Conf, balancers: &mut Vec<(usize, ngx_http_upstream_init_peer_pt)>) {
    // SAFETY: in postconfiguration the upstreams are complete and belong to the cycle.
    unsafe {
        let main: *mut ngx_http_upstream_main_conf_t =
            cf.module_conf(&*ptr::addr_of!(ngx_http_upstream_module), nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
        let Some(main) = main.as_ref() else { return };
        for &upstream in main.upstreams.as_slice::<*mut ngx_http_upstream_srv_conf_t>() {
            if idle::keeps_its_own(&*upstream) || (*upstream).peer.init.is_none() {
                continue;
            }
            balancers.push((upstream.addr(), (*upstream).peer.init));
            (*upstream).peer.init = Some(init);
        }
    }
}

unsafe extern "C" fn init(
    r: *mut ngx_http_request_t,
    upstream: *mut ngx_http_upstream_srv_conf_t,
) -> ngx_int_t {
    fence("peer::init", ERROR, || {
        // SAFETY: nginx calls this with a live request.
        let request = unsafe { Request::from_raw(r) };
        let main = request.http::<MainConf>();
        let known = main.balancers.iter().find(|(address, _)| *address == upstream.addr());
        let Some((_, Some(original))) = known else { return ERROR };
        // SAFETY: the balancer's own function, with what it was to be called with.
        let status = unsafe { original(r, upstream) };
        if status == OK {
            wrap(request);
        }
        status
    })
}

/// Puts the wrapper before the balancer of a request, if it is one of ours.
pub(crate) fn wrap(request: Request) {
    let Some(upstream) = request.upstream() else { return };
    let Some(context) = Context::of(&request) else { return };
    // The functions that remember TLS sessions are the balancer's and want its own data.
    if context.scheme == Scheme::Suwsgi {
        return;
    }
    let keeps = context.conf().keepalive() != 0 && context.keeps_connection();
    context.peer.keeping.set(if keeps { Keeping::On } else { Keeping::Off });
    context.peer.balancer.set(Some(upstream.balancer()));
    upstream.set_balancer(Balancer { get: Some(get), free: Some(free), data: context.data() });
}

unsafe extern "C" fn get(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    fence("peer::get", ERROR, || {
        // SAFETY: nginx calls this with the context that `wrap` gave to it, and with the live request's own peer.
        unsafe { Context::with_data(data, |context, upstream| choose(context, upstream, pc)) }
            .unwrap_or(ERROR)
    })
}

/// # Safety
/// `pc` is the peer of the context's live request, about to connect.
unsafe fn choose(context: &Context, upstream: Upstream, pc: *mut ngx_peer_connection_t) -> ngx_int_t {
    let Some(Balancer { get: Some(original), data, .. }) = context.peer.balancer.get() else { return ERROR };
    // SAFETY: the balancer's own function and data, as it gave them to nginx, and the caller's peer.
    let status = unsafe { original(pc, data) };
    if status == DONE {
        // It has a connection already, which is not this module's to keep.
        context.peer.keeping.set(Keeping::Off);
        return connected(context, upstream);
    }
    if status != OK {
        return status;
    }
    if context.peer.keeps() {
        // SAFETY: the caller's peer, whose address the balancer has set.
        let address = Address::of(unsafe { &*pc });
        context.peer.address.set(Some(address));
        let chosen = if context.peer.takes_idle() { reuse::choose(context, &address) } else { Chosen::None };
        if let Chosen::Kept(connection) = chosen {
            context.happened(Incident::Kept);
            // SAFETY: the caller's peer, to which nobody else refers here.
            idle::wake(connection, unsafe { &mut *pc });
            reuse::expect_end(context, connection);
            if reuse::needs_look(context, &address) {
                watch(context, UNREAD);
            }
            return connected(context, upstream);
        }
        watch(context, if matches!(chosen, Chosen::AtWork) { PATIENCE_AT_WORK } else { PATIENCE });
        context.peer.begin_looks();
    }
    context.happened(Incident::Fresh);
    // SAFETY: the caller's peer, to which nobody else refers here.
    match unsafe { connect::to_unix(&mut *pc) } {
        None => OK,
        Some(DONE) => connected(context, upstream),
        Some(error) => error,
    }
}

/// Whether the host of an application has read nothing of a request that it has failed.
pub(super) fn is_unread(context: &Context, upstream: Upstream) -> bool {
    reuse::is_unread_by_host(context, upstream)
}

/// Sees to it that a request without an answer is looked at then.
fn watch(context: &Context, after: Duration) {
    context.peer.watch(|| context.timer(on_wait), after);
}

/// What nginx is told when there is a connection.
fn connected(context: &Context, upstream: Upstream) -> ngx_int_t {
    if send::take_over(context, upstream) { AGAIN } else { DONE }
}

unsafe extern "C" fn free(pc: *mut ngx_peer_connection_t, data: *mut c_void, state: ngx_uint_t) {
    fence("peer::free", (), || {
        // SAFETY: nginx calls this with the context that `wrap` gave to it, and with the live request's own peer.
        unsafe { Context::with_data(data, |context, upstream| give_back(context, upstream, pc, state)) };
    });
}

/// # Safety
/// `pc` is the peer of the context's live request, whose connection is NULL or live.
unsafe fn give_back(
    context: &Context,
    upstream: Upstream,
    pc: *mut ngx_peer_connection_t,
    mut state: ngx_uint_t,
) {
    context.peer.stop_watch();
    let has_failed = |state: ngx_uint_t| state & NGX_PEER_FAILED as usize != 0;
    if !context.stage().has_answer() && has_failed(state) {
        let is_unread = reuse::let_another_have_it(context, upstream);
        if upstream.has_kept_connection() {
            context.peer.wants_fresh();
            state = reuse::failed(context, upstream);
            if !is_unread {
                reuse::take_back(context, upstream);
            }
        }
    }
    if !has_failed(state)
        && context.peer.keeps()
        && upstream.keeps_connection()
        && upstream.is_body_sent()
        && let (Some(address), Some(connection)) = (context.peer.address.get(), upstream.connection())
        && reuse::succeeded(context, upstream, connection, &address)
        && idle::keep(connection, address, context.conf())
    {
        // SAFETY: the caller's peer: its connection is this module's now.
        unsafe { (*pc).connection = ptr::null_mut() };
    }
    if let Some(Balancer { free: Some(original), data, .. }) = context.peer.balancer.get() {
        // SAFETY: the balancer's own function and data, as it gave them to nginx, and the caller's peer.
        unsafe { original(pc, data, state) };
    }
}

unsafe extern "C" fn on_wait(event: *mut ngx_event_t) {
    fence("peer::on_wait", (), || {
        // SAFETY: nginx calls this with the event of a context's timer.
        let left = unsafe {
            Context::with_timer(event, |context, upstream| {
                is_to_leave(context, upstream).then_some((context.request, upstream))
            })
        };
        if let Some((request, upstream)) = left.flatten() {
            let run_posted = request.posted_runner();
            reuse::leave(request, upstream);
            run_posted();
        }
    });
}

/// Looks after a request without an answer. Answers whether it leaves its connection.
fn is_to_leave(context: &Context, upstream: Upstream) -> bool {
    let Some(address) = context.peer.address.get().filter(|_| !context.stage().has_answer()) else {
        return false;
    };
    if upstream.has_kept_connection() {
        return reuse::look(context, upstream, &address);
    }
    // A backend of threads may accept a connection long before one of them is free for it.
    let is_young = context.peer.count_look() <= YOUNG;
    match idle::progress_of(&upstream, &address) {
        Progress::Read => {
            context.peer.withdraw();
            return false;
        }
        Progress::Accepted if is_young => context.peer.withdraw(),
        Progress::Accepted | Progress::Queued => {
            context.peer.call(|earlier| signals::signal(&address, earlier));
        }
    }
    context.peer.watch_on(REPEAT);
    false
}

/// Lets a request whose variables have made an address keep its connection as well: nginx's own way to such an address
/// has no place for a wrapper.
pub(super) fn use_literal(request: Request, upstream: Upstream) {
    let resolved = upstream.resolved();
    // SAFETY: the pool of a live request, and the address that `target` has made in it.
    unsafe {
        if resolved.is_null() || request.is_group(&*resolved) {
            return;
        }
        let server = ngx_pcalloc(request.pool(), size_of::<ngx_http_upstream_srv_conf_t>())
            .cast::<ngx_http_upstream_srv_conf_t>();
        if server.is_null() {
            return;
        }
        (*server).peer.init = Some(init_literal);
        (*server).host = (*resolved).host;
        (*server).port = (*resolved).port;
        // Where `init_literal` finds the address.
        (*server).peer.data = resolved.cast();
        if upstream.change_conf(request, |conf| conf.upstream = server).is_ok() {
            upstream.set_resolved(ptr::null_mut());
        }
    }
}

unsafe extern "C" fn init_literal(
    r: *mut ngx_http_request_t,
    server: *mut ngx_http_upstream_srv_conf_t,
) -> ngx_int_t {
    fence("peer::init_literal", ERROR, || {
        // SAFETY: nginx calls this with a live request and the configuration that `use_literal` made for it.
        unsafe {
            let status = ngx_http_upstream_create_round_robin_peer(r, (*server).peer.data.cast());
            if status == OK {
                wrap(Request::from_raw(r));
            }
            status
        }
    })
}
