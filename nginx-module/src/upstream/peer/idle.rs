// SPDX-License-Identifier: MIT OR Apache-2.0
//! The idle connections of this worker.

use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    ptr,
    time::Duration,
};

use gangway::{
    backends::BackendRecord,
    engine::fence,
    sys::{Progress, has_unread, progress},
};
use nginx_sys::{
    ngx_close_connection, ngx_current_msec, ngx_cycle, ngx_del_timer, ngx_destroy_pool, ngx_event_t,
    ngx_exiting, ngx_handle_read_event, ngx_http_upstream_srv_conf_t, ngx_module_t, ngx_msec_t,
    ngx_peer_connection_t, ngx_terminate,
};

use super::{super::address::Address, signals};
use crate::conf::UpstreamConf;
use crate::raw::{self, Connection, Timer, Upstream, Watch};

/// How often idle connections are compared with the signals of other workers, where the wake-up cannot be watched.
const LOOK_EVERY: ngx_msec_t = 20;
/// After so many milliseconds a process has mostly come back for its next request, also when others have the processors.
const SETTLED: u64 = 5;
/// After so many milliseconds it is taken to work for what it has answered, and not to be late alone.
const WORKS: u64 = 10;

pub(super) struct Idle {
    connection: Connection,
    /// Since when it is idle, as ngx_current_msec.
    since: ngx_msec_t,
    /// When its time is over, as ngx_current_msec.
    until: ngx_msec_t,
    /// Its process was found at work: for how many milliseconds it has to be idle before it is looked at again.
    busy_for: Cell<u64>,
    /// It is about to be closed.
    is_useless: Cell<bool>,
    address: Address,
}

impl Idle {
    fn is_over(&self) -> bool {
        is_reached(self.until, now())
    }

    /// For how many milliseconds it has been idle.
    pub(super) fn time(&self) -> u64 {
        now().wrapping_sub(self.since) as u64
    }

    pub(super) fn connection(&self) -> Connection {
        self.connection
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.connection.descriptor()
    }

    /// Whether the backend has neither closed the connection nor sent something on it.
    pub(super) fn is_open(&self) -> bool {
        is_open(self.connection)
    }

    /// Whether a request waits for its process. One that is at work has none to give away.
    fn is_wanted(&self) -> bool {
        if !signals::is_contended(&self.address) {
            return false;
        }
        if has_unread(self.descriptor(), self.address.is_unix()) == Some(true) {
            self.is_busy();
            return false;
        }
        signals::is_wanted(&self.address)
    }

    /// Whether its process has been found at work, and has been so for longer than it takes to come back.
    fn is_at_work(&self) -> bool {
        self.busy_for.get() > 0 && self.time() >= WORKS
    }

    /// Its process still works. It is asked again when it has worked a quarter longer, so that requests do not ask
    /// all such connections again and again.
    pub(super) fn is_busy(&self) {
        let time = self.time();
        self.busy_for.set(time + 1 + time / 4);
    }

    /// Whether it is worth a look whether its process works.
    pub(super) fn may_wait(&self) -> bool {
        self.time() >= self.busy_for.get()
    }
}

/// What becomes of an idle connection that a request could have.
pub(super) enum Choice {
    Take,
    /// It is of no use.
    Close,
    /// It stays, and another one is looked at.
    Skip,
}

/// Which idle connection is looked at first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SearchOrder {
    /// The one that was used last: the fewest are kept alive by few requests.
    Last,
    /// The last one of those whose process has had time to come back for its next request; without one the first.
    Settled,
}

#[derive(Default)]
struct IdlePool {
    /// The one that was used last stands at the end.
    idle: Vec<Idle>,
    timer: Option<Timer>,
    /// When the timer ends, as ngx_current_msec.
    due: ngx_msec_t,
}

thread_local! {
    static POOL: RefCell<IdlePool> = RefCell::default();
    /// The watch over the wake-up of [`signals`], if it is watched.
    static WAKEUP: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

impl IdlePool {
    /// Where the search for an idle connection begins. `None` when there is none at all.
    fn first(&self, address: &Address, order: SearchOrder) -> Option<usize> {
        if order == SearchOrder::Last {
            return self.idle.len().checked_sub(1);
        }
        let is_settled = |idle: &Idle| idle.address == *address && idle.time() >= SETTLED;
        self.idle
            .iter()
            .rposition(is_settled)
            .or_else(|| self.idle.iter().position(|idle| idle.address == *address))
    }

    /// Sees to it that the connection which is over at `until` is looked at then.
    fn look_at(&mut self, until: ngx_msec_t, is_woken: bool) {
        let timer = self.timer.get_or_insert_with(|| Timer::new(on_time, ptr::null_mut(), false));
        let now = now();
        let due = if is_woken { until } else { now.wrapping_add(LOOK_EVERY) };
        if timer.is_set() {
            if is_reached(self.due, due) {
                return;
            }
            timer.stop();
        }
        self.due = due;
        let left = if is_reached(due, now) { 0 } else { due.wrapping_sub(now) };
        timer.set(Duration::from_millis(left as u64));
    }
}

fn now() -> ngx_msec_t {
    // SAFETY: a plain number of the worker's own thread.
    unsafe { ngx_current_msec }
}

/// Whether a time is over. Milliseconds may wrap around.
fn is_reached(time: ngx_msec_t, now: ngx_msec_t) -> bool {
    now.wrapping_sub(time) as isize >= 0
}

/// Takes a connection to `address`: the first that `choose` takes.
pub(super) fn take(address: &Address, order: SearchOrder, choose: impl Fn(&Idle) -> Choice) -> Option<Idle> {
    let has_useless = Cell::new(false);
    let (found, useless) = POOL.with_borrow_mut(|pool| {
        let first = pool.first(address, order)?;
        // Down to the one that has been idle for longest, then up from where it began.
        let mut each = (0..=first).rev().chain(first + 1..pool.idle.len());
        let at = each.find(|at| {
            let known = pool.idle.get(*at).filter(|idle| idle.address == *address);
            known.is_some_and(|idle| match choose(idle) {
                Choice::Take => true,
                Choice::Skip => false,
                Choice::Close => {
                    idle.is_useless.set(true);
                    has_useless.set(true);
                    false
                }
            })
        });
        let found = at.map(|at| pool.idle.remove(at));
        let is_useless = |idle: &mut Idle| idle.is_useless.get();
        let useless: Vec<_> =
            if has_useless.get() { pool.idle.extract_if(.., is_useless).collect() } else { Vec::new() };
        Some((found, useless))
    })?;
    useless.into_iter().for_each(|idle: Idle| close(idle.connection));
    found
}

/// A request connects anew, for all processes that idle connections hold are at work. It is to have the first of them that
/// comes back: the one that has been at work for longest is let go, and finds the new connection when it has done. Where a
/// process was free all the same, this worker has as many connections as before. One that was found at work for moments alone
/// is only late on a busy machine. Answers whether processes are at work.
pub(super) fn give_one_up(address: &Address) -> bool {
    let (found, are_busy) = POOL.with_borrow_mut(|pool| {
        let is_busy = |idle: &&Idle| idle.address == *address && idle.busy_for.get() > 0;
        let are_busy = pool.idle.iter().any(|idle| is_busy(&idle));
        let longest = pool.idle.iter().position(|idle| is_busy(&idle) && idle.is_at_work());
        (longest.map(|at| pool.idle.remove(at).connection), are_busy)
    });
    if let Some(connection) = found {
        close(connection);
    }
    are_busy
}

/// Whether the backend has neither closed the connection nor sent something on it.
fn is_open(connection: Connection) -> bool {
    peek(connection.descriptor()).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Whether something has come on a connection that nobody has read.
pub(super) fn has_something(descriptor: RawFd) -> bool {
    peek(descriptor).is_ok_and(|count| count > 0)
}

fn peek(descriptor: RawFd) -> std::io::Result<isize> {
    let mut byte = 0u8;
    // SAFETY: one writable byte.
    let count =
        unsafe { libc::recv(descriptor, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    if count < 0 { Err(std::io::Error::last_os_error()) } else { Ok(count) }
}

/// Makes an idle connection one of a request.
pub(super) fn wake(connection: Connection, pc: &mut ngx_peer_connection_t) {
    // SAFETY: a live connection that this module has kept, to which nobody else refers here, with its events and its pool.
    unsafe {
        let c = &mut *connection.raw();
        c.set_idle(0);
        c.sent = 0;
        c.data = ptr::null_mut();
        c.log = pc.log;
        (*c.read).log = pc.log;
        (*c.write).log = pc.log;
        (*c.pool).log = pc.log;
    }
    // That the backend has closed it meanwhile is no error; see `Peer::answered`.
    connection.log_errors_as_info();
    pc.connection = connection.raw();
    pc.set_cached(1);
}

/// Keeps the connection of a request that has ended well, if it may be kept.
pub(super) fn keep(connection: Connection, address: Address, conf: &UpstreamConf) -> bool {
    // SAFETY: the live connection of a request that has ended, to which nobody else refers here; plain flags of the worker.
    unsafe {
        let c = &mut *connection.raw();
        let (read, write) = (&mut *c.read, &mut *c.write);
        let broken = read.eof() | read.error() | read.timedout() | write.error() | write.timedout();
        if broken != 0
            || c.requests >= conf.keepalive_requests()
            || ngx_terminate != 0
            || ngx_exiting != 0
            || signals::is_wanted(&address)
            || ngx_handle_read_event(c.read, 0) != 0
        {
            return false;
        }
        read.set_delayed(0);
        // The time of all idle connections is looked at together.
        if read.timer_set() != 0 {
            ngx_del_timer(c.read);
        }
        if write.timer_set() != 0 {
            ngx_del_timer(c.write);
        }
        write.handler = Some(on_writable);
        read.handler = Some(on_readable);
        c.data = ptr::null_mut();
        c.set_idle(1);
        c.log = (*ngx_cycle).log;
        read.log = c.log;
        write.log = c.log;
        (*c.pool).log = c.log;
        let since = ngx_current_msec;
        let until = since.wrapping_add(conf.keepalive_timeout());
        let (busy_for, is_useless) = (Cell::new(0), Cell::new(false));
        add(Idle { connection, since, until, busy_for, is_useless, address }, conf.keepalive());
        if read.ready() != 0 {
            on_readable(c.read);
        }
    }
    true
}

fn add(idle: Idle, limit: usize) {
    let (until, is_woken) = (idle.until, watch_wakeup());
    let surplus = POOL.with_borrow_mut(|pool| {
        let same = |known: &&Idle| known.address == idle.address;
        let full = pool.idle.len() >= limit && pool.idle.iter().filter(same).count() >= limit;
        if full && signals::record(&idle.address).is_some_and(BackendRecord::wants_proof) {
            return Some(idle.connection);
        }
        let oldest = full.then(|| pool.idle.iter().position(|known| known.address == idle.address)).flatten();
        let surplus = oldest.map(|at| pool.idle.remove(at).connection);
        pool.idle.push(idle);
        pool.look_at(until, is_woken);
        surplus
    });
    if let Some(connection) = surplus {
        close(connection);
    }
}

fn close(connection: Connection) {
    let raw = connection.raw();
    // SAFETY: a live connection with a pool of its own, which nobody else knows any more.
    unsafe {
        ngx_destroy_pool((*raw).pool);
        ngx_close_connection(raw);
    }
}

unsafe extern "C" fn on_writable(_: *mut ngx_event_t) {}

/// The backend has closed the connection, or sent something that nobody asked for.
unsafe extern "C" fn on_readable(event: *mut ngx_event_t) {
    fence("peer::on_readable", (), || {
        // SAFETY: nginx calls this with the event of a live connection that is idle.
        unsafe {
            let Some(connection) = Connection::from_raw((*event).data.cast()) else { return };
            let c = &mut *connection.raw();
            if c.close() == 0 && is_open(connection) {
                (*event).set_ready(0);
                if ngx_handle_read_event(c.read, 0) == 0 {
                    return;
                }
            }
            let address = POOL.with_borrow_mut(|pool| {
                let at = pool.idle.iter().position(|idle| idle.connection == connection)?;
                Some(pool.idle.remove(at).address)
            });
            if let Some(record) =
                address.and_then(|address| signals::record(&address)).filter(|_| c.close() == 0)
            {
                record.has_closed();
            }
            close(connection);
        }
    });
}

/// Watches the wake-up from the first idle connection on. Answers whether it is watched.
fn watch_wakeup() -> bool {
    WAKEUP.with_borrow_mut(|watch| {
        if watch.is_none() && raw::has_edges() {
            *watch = signals::descriptor().and_then(|wakeup| Watch::new(wakeup, on_wakeup, ptr::null_mut()));
        }
        watch.is_some()
    })
}

/// The worker ends.
pub(crate) fn stop() {
    drop(WAKEUP.take());
}

unsafe extern "C" fn on_wakeup(_: *mut ngx_event_t) {
    fence("peer::on_wakeup", (), give_up);
}

unsafe extern "C" fn on_time(_: *mut ngx_event_t) {
    fence("peer::on_time", (), || {
        give_up();
        let is_woken = WAKEUP.with_borrow(Option::is_some);
        POOL.with_borrow_mut(|pool| {
            let first = pool.idle.iter().map(|idle| idle.until).min_by_key(|until| until.wrapping_sub(now()));
            if let Some(until) = first {
                pool.look_at(until, is_woken);
            }
        });
    });
}

/// Closes what somebody else needs, or has been idle for its time. A process that is free is given away for each request that
/// waits; and where there are too few, those at work are to find the new connections when they have done, whichever is the first.
fn give_up() {
    let given_up: Vec<_> = POOL.with_borrow_mut(|pool| {
        let is_over = |idle: &mut Idle| idle.is_over() || idle.is_wanted();
        let mut given_up: Vec<_> = pool.idle.extract_if(.., is_over).collect();
        let is_in_the_way = |idle: &mut Idle| idle.is_at_work() && signals::is_contended(&idle.address);
        given_up.extend(pool.idle.extract_if(.., is_in_the_way));
        given_up
    });
    given_up.into_iter().for_each(|idle: Idle| close(idle.connection));
}

/// How far the request has come on its new connection, as far as can be known.
pub(super) fn progress_of(upstream: &Upstream, address: &Address) -> Progress {
    match upstream.connection() {
        None => Progress::Read,
        // The kernel takes the bytes of a TCP connection long before anybody accepts it.
        Some(_) if !address.is_unix() => Progress::Queued,
        Some(connection) => progress(connection.descriptor(), connection.sent().try_into().unwrap_or(0)),
    }
}

/// Whether a group keeps idle connections by a `keepalive` of its own.
pub(super) fn keeps_its_own(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    // SAFETY: the module may be missing from an nginx; its configuration begins with the number of connections that
    // `keepalive` gives, and is there for upstream{} blocks, whose list has a place for each module.
    unsafe {
        let name = c"ngx_http_upstream_keepalive_module";
        let keepalive = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()).cast::<ngx_module_t>();
        let (Some(keepalive), false) = (keepalive.as_ref(), upstream.srv_conf.is_null()) else {
            return false;
        };
        let conf = *upstream.srv_conf.add(keepalive.ctx_index);
        !conf.is_null() && *conf.cast::<nginx_sys::ngx_uint_t>() > 0
    }
}
