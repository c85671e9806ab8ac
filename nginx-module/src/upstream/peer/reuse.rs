// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a request may take a kept connection, and what it means when that fails.
//!
//! A process that has answered may still work: then it reads nothing, and a request on its connection would wait. PHP
//! leaves the last record of a request unread until it comes back for the next one, which the kernel knows: such
//! addresses are looked at before a connection is used. Of one that reads everything at once nothing can be seen before;
//! a request that nobody reads for [`UNREAD`](super::UNREAD) is taken elsewhere where there is one backend alone, and the address is shunned
//! for some time.

use std::cell::Cell;

use gangway::{
    engine::fence,
    error::BACKEND_CUT,
    report,
    supervise::TAKEN_FROM,
    sys::{has_unread, is_acknowledged, is_elsewhere, unread},
};
use nginx_sys::{NGX_PEER_FAILED, NGX_PEER_NEXT, ngx_connection_t, ngx_current_msec, ngx_uint_t};

use super::{
    super::{
        ERROR,
        address::Address,
        state::{Context, peer::Reused},
    },
    idle,
    signals::record,
};
use crate::raw::{Connection, Request, Upstream};

/// More than this is no request that is read in one piece: what is left of it says nothing about the address.
const ONE_PIECE: i64 = 8000;
/// The same of an application's own host: a body that is not [`TAKEN_FROM`], and a head. A unix socket has so much in one piece.
const HOST_ONE_PIECE: i64 = 24 * 1024;
/// Milliseconds after which the event loop has seen that a process has ended behind its answer: such a one closes its
/// side at once, and the clock goes on only where the loop has turned.
const SEEN: u64 = 2;

fn now() -> u64 {
    // SAFETY: a number that nginx's clock sets on this thread.
    unsafe { ngx_current_msec as u64 }
}

/// A kept connection for a request, or that there is none.
pub(super) enum Chosen {
    Kept(Connection),
    None,
    /// Processes that kept connections hold are at work. They may come back before others are free.
    AtWork,
}

/// A kept connection for a request, if it may have one.
pub(super) fn choose(context: &Context, address: &Address) -> Chosen {
    let Some(record) = record(address) else { return Chosen::None };
    let for_once = !context.may_be_repeated();
    let is_lazy = record.is_lazy();
    // So reads PHP, whether or not this one has been seen to.
    let is_script = context.script.is_script(context.conf().suffixes());
    let looks_read = is_lazy || is_script || for_once && record.wants_sample();
    let unread = Cell::new(None);
    let is_retried = address.is_unix()
        && context.request.upstream().is_some_and(|upstream| context.has_request_in_memory(upstream));
    let order = if looks_read { idle::SearchOrder::Settled } else { idle::SearchOrder::Last };
    let found = idle::take(address, order, |idle| {
        if !idle.may_wait() {
            return idle::Choice::Skip;
        }
        if for_once && !record.keeps(idle.time()) {
            if record.would_show(idle.time()) && idle.is_open() {
                record.has_stayed(idle.time());
            }
            return idle::Choice::Skip;
        }
        let fd = idle.descriptor();
        // Its process has not come back: what it is wanted for next is somebody else's to decide.
        unread.set(looks_read.then(|| has_unread(fd, address.is_unix())).flatten());
        if unread.get() == Some(true) {
            idle.is_busy();
            return idle::Choice::Skip;
        }
        // The second look: a process of PHP that ends closes its side, and then reads what is left until we close ours. The
        // event loop sees that, too, but not in this turn. A socket that is closed takes nothing of the request.
        let is_seen = idle.time() >= SEEN && !record.closes();
        let is_known = is_lazy && unread.get() == Some(false) && is_seen && is_retried;
        if for_once && !is_known && !idle.is_open() {
            record.has_closed();
            return idle::Choice::Close;
        }
        idle::Choice::Take
    });
    let Some(found) = found else {
        let are_at_work = looks_read && idle::give_one_up(address);
        return if are_at_work { Chosen::AtWork } else { Chosen::None };
    };
    let was_awaited = (is_lazy || is_script) && unread.get() == Some(false);
    context.peer.reused.set(Reused {
        idle: found.time(),
        is_known: is_lazy,
        was_awaited,
        ..Reused::default()
    });
    Chosen::Kept(found.connection())
}

/// Whether a request on a kept connection has to be looked after.
pub(super) fn needs_look(context: &Context, address: &Address) -> bool {
    !context.peer.reused.get().is_known && record(address).is_some_and(|record| !record.is_blind())
}

/// A request on a kept connection has no answer yet. Answers whether it is to be taken elsewhere: see [`leave`].
pub(super) fn look(context: &Context, upstream: Upstream, address: &Address) -> bool {
    let Some(connection) = upstream.connection() else { return false };
    let Some(count) = unread(connection.descriptor()) else { return false };
    let is_unread =
        connection.sent() > 0 && u64::try_from(connection.sent()).is_ok_and(|sent| count as u64 >= sent);
    let mut reused = context.peer.reused.get();
    reused.was_read = !is_unread;
    context.peer.reused.set(reused);
    if !is_unread {
        return false;
    }
    if let Some(record) = record(address) {
        record.was_late(now());
    }
    // What is left behind may still be read and done: only where that does no harm, and not after others of its kind.
    // And only where there is one backend: of a group it would use one up, and the others may be gone by then.
    let is_alone = upstream.tries() <= 1 && context.peer.takes_idle();
    reused.is_left = is_alone && context.request.is_safe() && context.may_go_elsewhere(upstream, now());
    context.peer.reused.set(reused);
    reused.is_left
}

/// Lets nginx find the connection broken, after which it tries another one. The request may be gone after it.
pub(super) fn leave(request: Request, upstream: Upstream) {
    if let Some(connection) = upstream.connection() {
        connection.set_receiver(Some(receive_nothing));
    }
    // nginx waits for a head: its handler is in place.
    upstream.run_read_handler(request);
}

/// Lets the end of a kept connection be no error of a backend that has closed it before it saw the request: nginx has a line for
/// an end without an answer, and asks somebody else.
pub(super) fn expect_end(context: &Context, connection: Connection) {
    context.peer.receive.set(connection.receiver());
    connection.set_receiver(Some(receive_first));
}

/// nginx's function for the first bytes of an answer on a kept connection.
unsafe extern "C" fn receive_first(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    fence("reuse::receive_first", ERROR, || {
        // SAFETY: nginx reads from the live connection of a request whose upstream is ours, into a buffer of its own: the
        // connection's data is the request.
        unsafe {
            Context::with((*c).data.cast(), |context, _| {
                let connection = Connection::from_raw(c)?;
                let receive = context.peer.receive.get();
                let count = receive?(c, buffer, size);
                if count > 0 {
                    connection.set_receiver(receive);
                }
                let is_unix = context.peer.address.get().is_some_and(|address| address.is_unix());
                let has_left = count == 0 && is_over_unread(connection, is_unix);
                if has_left {
                    let line =
                        "the backend has closed a kept connection that was idle; the request goes elsewhere";
                    report!(context.request, Info, None, "{line}");
                }
                Some(if has_left { ERROR } else { count })
            })
        }
        .flatten()
        .unwrap_or(ERROR)
    })
}

/// Whether the backend has ended its side in order, and left what it was sent unread: it knows nothing of a request. So ends a
/// process of PHP.
fn is_over_unread(connection: Connection, is_unix: bool) -> bool {
    let read = connection.read();
    read.has_ended() && !read.has_failed() && has_unread(connection.descriptor(), is_unix) == Some(true)
}

unsafe extern "C" fn receive_nothing(_: *mut ngx_connection_t, _: *mut u8, _: usize) -> isize {
    ERROR
}

/// A kept connection has failed a request without an answer. Answers what the balancer is told: the backend has failed if
/// it had taken the request.
pub(super) fn failed(context: &Context, upstream: Upstream) -> ngx_uint_t {
    let (failed, next) = (NGX_PEER_FAILED as ngx_uint_t, NGX_PEER_NEXT as ngx_uint_t);
    let Some(connection) = upstream.connection() else { return next };
    let (read, write) = (connection.read(), connection.write());
    let reused = context.peer.reused.get();
    if reused.is_left {
        return next;
    }
    if read.has_timed_out() || write.has_timed_out() {
        return failed;
    }
    let address = context.peer.address.get();
    if let Some(record) = address.as_ref().and_then(record) {
        record.has_closed();
    }
    let is_unix = address.is_some_and(|address| address.is_unix());
    if is_over_unread(connection, is_unix) {
        return next;
    }
    // A unix socket that is closed in order has been read to its end.
    let was_taken = reused.was_awaited
        || reused.was_read
        || if is_unix {
            read.has_ended() && !read.has_failed()
        } else {
            is_acknowledged(connection.descriptor()) == Some(true)
        };
    if connection.sent() > 0 && was_taken { failed } else { next }
}

/// Lets nginx give a request that changes something to another process of an application, if the one that it was sent to has not begun
/// it or the configuration has no fear of that. Answers whether it does.
pub(super) fn let_another_have_it(context: &Context, upstream: Upstream) -> bool {
    if !context.script.is_mounted || !context.request.is_for_once() {
        return false;
    }
    let may = context.conf().repeats_everything() || is_unread_by_host(context, upstream);
    let changed = upstream.let_repeat(context.request, may);
    may && changed.is_ok()
}

/// Whether a host has not begun a request. It reads at once what has left at once, as small ones do: a unix socket that is closed with
/// something unread is reset, and one that was read to its end is not. Of one with a long body the host says that it has it.
pub(super) fn is_unread_by_host(context: &Context, upstream: Upstream) -> bool {
    let Some(connection) = upstream.connection() else { return false };
    let (read, write) = (connection.read(), connection.write());
    if context.request.streams_body() || read.has_timed_out() || write.has_timed_out() {
        return false;
    }
    if let Some(is_unbegun) = context.peer.judge.get() {
        return is_unbegun(connection);
    }
    if connection.sent() == 0 {
        return true;
    }
    if context.body_length.get() > TAKEN_FROM {
        // Its word may be there, although nginx has found out by sending that it has gone.
        return !context.stage().has_answer() && !idle::has_something(connection.descriptor());
    }
    let is_reset = read.has_failed() && !read.has_ended();
    is_reset && connection.sent() <= HOST_ONE_PIECE && context.has_request_in_memory(upstream)
}

/// What the balancer's next attempt finds of a request that a kept connection has failed. If the kernel took nothing of it,
/// which for a unix socket means that the backend had gone before, the request has not been sent, whatever its method is.
pub(super) fn take_back(context: &Context, upstream: Upstream) {
    let Some(sent) = upstream.connection().map(Connection::sent) else { return };
    if sent == 0 && context.has_request_in_memory(upstream) {
        upstream.forget_sent();
    } else if context.request.is_for_once() {
        report!(
            context.request,
            Error,
            BACKEND_CUT,
            "the backend closed a kept connection when a request was on its way that changes something; it may \
             have read it, so nobody else gets it, unless gangway_next_upstream says non_idempotent",
        );
    }
}

/// The request has ended well: what its connection has shown. Answers whether it may be kept.
pub(super) fn succeeded(
    context: &Context,
    upstream: Upstream,
    connection: Connection,
    address: &Address,
) -> bool {
    let Some(record) = record(address) else { return true };
    let is_first = !upstream.has_kept_connection();
    if !is_first && context.stage().has_answer() {
        record.has_kept(context.peer.reused.get().idle);
    }
    let is_unix = address.is_unix();
    let is_piece = !context.request.has_body() && connection.sent() < ONE_PIECE;
    if is_piece && (record.wants_sample() || is_first && is_unix && !record.is_lazy()) {
        record.sample(match has_unread(connection.descriptor(), is_unix) {
            None if is_elsewhere(connection.descriptor()) => None,
            seen => Some(seen == Some(true)),
        });
    }
    !record.is_shunned(now()) && (context.conf().keeps_blindly() || !record.is_blind())
}
