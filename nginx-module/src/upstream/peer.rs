// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections that wait for another request.
//!
//! A wrapper around nginx's balancer: it chooses an address as always, and an idle connection to that address is taken
//! if there is one. `upstream{}` groups with a `keepalive` of their own are left to it.
//!
//! A FastCGI process usually serves one connection at a time: an idle connection pins it. So a request on a fresh
//! connection that gets no answer says so in memory that all workers share ([`signals`]), and they close their idle
//! connections to that address as long as it says so.
//!
//! A connection that is there at once has its request at once: see [`send::begin`].

mod address;
mod connect;
mod idle;
mod reuse;
mod signals;

use std::{ffi::c_void, ptr, time::Duration};

use gangway::engine::fence;
use nginx_sys::{
    NGX_PEER_FAILED, ngx_event_t, ngx_http_request_t, ngx_http_upstream_create_round_robin_peer,
    ngx_http_upstream_init_peer_pt, ngx_http_upstream_main_conf_t, ngx_http_upstream_module,
    ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_pcalloc, ngx_peer_connection_t, ngx_uint_t,
};

use super::{ERROR, context::Context, send};
use crate::{
    conf::{MainConf, Scheme},
    raw::{Balancer, Conf, Request, Timer, Upstream, timer_data},
};
use address::Address;
use reuse::Reused;

pub(crate) use idle::stop as stop_listening;
pub(crate) use signals::make as make_signals;

const OK: ngx_int_t = 0;
const DONE: ngx_int_t = nginx_sys::NGX_DONE as ngx_int_t;

/// How long an answer may take before it is looked whether anybody has accepted a fresh connection.
const PATIENCE: Duration = Duration::from_millis(20);
/// A request on a connection that was idle has been read by then, or its process works for an earlier one.
const UNREAD: Duration = Duration::from_millis(50);
/// How often a request that waits says so again.
const REPEAT: Duration = Duration::from_millis(20);
/// For so many looks a connection that was accepted counts as one that is being served.
const YOUNG: u32 = 5;

/// The wrapper's part of a request.
#[derive(Default)]
pub(super) struct Peer {
    /// The one that this wrapper stands before.
    balancer: Option<Balancer>,
    /// Idle connections are used and kept.
    keeps: bool,
    /// An idle connection has failed this request: no second one is tried.
    fresh_only: bool,
    waiting: Option<Timer>,
    /// How often a fresh connection has been looked at that gives no answer.
    looks: u32,
    address: Option<Address>,
    /// What is known of a connection that was kept.
    reused: Reused,
}

impl Peer {
    /// The backend has answered.
    pub(super) fn answered(&mut self, upstream: Upstream) {
        self.waiting = None;
        if let Some(connection) = upstream.connection() {
            connection.log_errors();
        }
    }
}

/// Comes before the balancer of every upstream that does not keep connections itself.
pub(crate) fn install(cf: &Conf, balancers: &mut Vec<(usize, ngx_http_upstream_init_peer_pt)>) {
    // SAFETY: in postconfiguration the upstreams are complete and belong to the cycle.
    unsafe {
        let main: *mut ngx_http_upstream_main_conf_t =
            cf.module_conf(&*ptr::addr_of!(ngx_http_upstream_module), nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
        let Some(main) = main.as_ref() else { return };
        for &upstream in main.upstreams.as_slice::<*mut ngx_http_upstream_srv_conf_t>() {
            if idle::keeps_its_own(upstream) || (*upstream).peer.init.is_none() {
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

/// Puts the wrapper in place, if the request is one of ours.
fn wrap(request: Request) {
    let Some(upstream) = request.upstream() else { return };
    if !upstream.is_ours() {
        return;
    }
    // SAFETY: the upstream is ours.
    let Some(context) = (unsafe { Context::of(request.raw()) }) else { return };
    // The functions that remember TLS sessions are the balancer's and want its own data.
    if context.scheme == Scheme::Suwsgi {
        return;
    }
    context.peer.keeps = context.conf().keepalive() != 0 && context.keeps_connection();
    context.peer.balancer = Some(upstream.balancer());
    let data = ptr::from_mut(context).cast();
    upstream.set_balancer(Balancer { get: Some(get), free: Some(free), data });
}

unsafe extern "C" fn get(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    fence("peer::get", ERROR, || {
        // SAFETY: nginx calls this with the request's connection and the context that `wrap` gave to it.
        let (pc, context) = unsafe { (&mut *pc, &mut *data.cast::<Context>()) };
        let Some(Balancer { get: Some(original), data, .. }) = context.peer.balancer else { return ERROR };
        // SAFETY: the balancer's own function and data, as it gave them to nginx.
        let status = unsafe { original(pc, data) };
        if status != OK {
            return status;
        }
        if context.peer.keeps {
            let address = Address::of(pc);
            context.peer.address = Some(address);
            if !context.peer.fresh_only
                && let Some(connection) = reuse::choose(context, &address)
            {
                idle::wake(connection, pc);
                if reuse::needs_look(context, &address) {
                    watch(context, UNREAD);
                }
                return connected(context);
            }
            watch(context, PATIENCE);
            context.peer.looks = 0;
        }
        // SAFETY: the peer that nginx is about to connect.
        match unsafe { connect::to_unix(pc) } {
            None => OK,
            Some(DONE) => connected(context),
            Some(error) => error,
        }
    })
}

/// Sees to it that a request without an answer is looked at then.
fn watch(context: &mut Context, after: Duration) {
    let this = ptr::from_mut(context).cast();
    context.peer.waiting.get_or_insert_with(|| Timer::new(on_wait, this, false)).set(after);
}

/// What nginx is told when there is a connection.
fn connected(context: &mut Context) -> ngx_int_t {
    if send::take_over(context) { nginx_sys::NGX_AGAIN as ngx_int_t } else { DONE }
}

unsafe extern "C" fn free(pc: *mut ngx_peer_connection_t, data: *mut c_void, state: ngx_uint_t) {
    fence("peer::free", (), || {
        // SAFETY: as for `get`.
        let (pc, context) = unsafe { (&mut *pc, &mut *data.cast::<Context>()) };
        context.peer.waiting = None;
        let Some(upstream) = context.upstream() else { return };
        let mut state = state;
        if pc.cached() != 0 && !context.received && state & NGX_PEER_FAILED as usize != 0 {
            // The next attempt is not to meet a second one that was idle.
            context.peer.fresh_only = true;
            state = reuse::failed(context, pc);
            reuse::take_back(context, pc);
        }
        if state & NGX_PEER_FAILED as usize == 0
            && context.peer.keeps
            && upstream.keeps_connection()
            && upstream.is_body_sent()
            && let Some(address) = context.peer.address
            && reuse::succeeded(context, pc, &address)
            && idle::keep(pc, address, context.conf())
        {
            pc.connection = ptr::null_mut();
        }
        if let Some(Balancer { free: Some(original), data, .. }) = context.peer.balancer {
            // SAFETY: the balancer's own function and data, as it gave them to nginx.
            unsafe { original(pc, data, state) };
        }
    });
}

unsafe extern "C" fn on_wait(event: *mut ngx_event_t) {
    fence("peer::on_wait", (), || {
        // SAFETY: the timer is stopped before its context is dropped.
        let Some(context) = (unsafe { timer_data(event).cast::<Context>().as_mut() }) else { return };
        let Some(address) = context.peer.address else { return };
        let Some(upstream) = context.upstream().filter(|_| !context.received) else { return };
        if upstream.has_kept_connection() {
            if reuse::look(context, upstream, &address) {
                let request = context.request;
                let run_posted = request.posted_runner();
                // No reference to the context is held here: it may be gone after it.
                reuse::leave(request, upstream);
                run_posted();
            }
            return;
        }
        if idle::was_read(&upstream, &address) {
            return;
        }
        context.peer.looks += 1;
        // A backend of threads may accept a connection long before one of them is free for it.
        if context.peer.looks > YOUNG || !idle::was_accepted(&upstream, &address) {
            signals::say(&address);
        }
        if let Some(timer) = context.peer.waiting.as_mut() {
            timer.set(REPEAT);
        }
    });
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
