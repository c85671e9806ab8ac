// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes on between requests: connections to hosts that nobody uses now, and processes that a request has left before they
//! were done. Those work for nobody, and their place is free when they close the connection: the next request would wait behind
//! that. One thread of the child looks after both, and sleeps when there is nothing.

use std::{
    mem,
    os::fd::AsRawFd,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::THREADS_FAILED,
    log::{self, Level},
    sys::{self, EventFd, lock, poll},
};
use gangway_httpd::transfer::{Received, Wire};

use super::{seat::Seat, services::Service};

const STACK: usize = 256 * 1024;
/// How long a connection may be idle.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// How often idle connections are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a process may take to notice that its request was left, where `timeout=` says nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of what it still writes is thrown away at a time.
const PART: usize = 16 * 1024;

/// An idle connection.
struct Idle {
    service: &'static Service,
    slot: u16,
    wire: Wire,
    since: Instant,
}

/// A process that works for nobody.
struct Abandoned {
    wire: Wire,
    seat: Seat,
    until: Instant,
}

#[derive(Default)]
struct IdleConnections {
    /// In the order in which they became idle.
    idle: Vec<Idle>,
    left: Vec<Abandoned>,
    /// The thread sleeps until it is woken.
    sleeps: bool,
}

static IDLE: Mutex<IdleConnections> =
    Mutex::new(IdleConnections { idle: Vec::new(), left: Vec::new(), sleeps: false });
static KEEPER: OnceLock<Keeper> = OnceLock::new();

/// The thread that looks after all of it.
struct Keeper {
    wakeup: Arc<EventFd>,
    runs: OnceLock<bool>,
}

/// An idle connection to the process of a slot. The caller has a place of it, so the process does not end before it is asked to.
pub(super) fn take(service: &'static Service, slot: u16) -> Option<Wire> {
    loop {
        let mut connections = lock(&IDLE);
        let is_its = |idle: &Idle| std::ptr::eq(idle.service, service) && idle.slot == slot;
        let at = connections.idle.iter().rposition(is_its)?;
        let idle = connections.idle.remove(at);
        drop(connections);
        // Otherwise it is that of an earlier process of the slot.
        if idle.wire.is_idle() {
            return Some(idle.wire);
        }
    }
}

/// Keeps a connection to the process of a slot. There are no more of them than requests that the process takes at a time.
pub(super) fn put(service: &'static Service, slot: u16, wire: Wire) {
    let Some(keeper) = keeper() else { return };
    let Ok(wire) = wire.into_kept() else { return };
    let most = service.managed.threads() as usize;
    let mut connections = lock(&IDLE);
    let is_its = |idle: &&Idle| std::ptr::eq(idle.service, service) && idle.slot == slot;
    if connections.idle.iter().filter(is_its).count() >= most {
        return;
    }
    connections.idle.push(Idle { service, slot, wire, since: Instant::now() });
    wake(keeper, connections);
}

/// Gives a place back when its process has closed the connection. One that does not in time is stuck.
pub(super) fn until_end(service: &'static Service, wire: Wire, seat: Seat) {
    // An application that reads its requests sees that nobody asks any more.
    wire.close_sending();
    let (Some(keeper), Ok(wire)) = (keeper(), wire.into_kept()) else { return };
    let until = Instant::now() + service.managed.timeout().unwrap_or(PATIENCE);
    let mut connections = lock(&IDLE);
    connections.left.push(Abandoned { wire, seat, until });
    connections.sleeps = true;
    wake(keeper, connections);
}

fn wake(keeper: &EventFd, mut connections: std::sync::MutexGuard<'_, IdleConnections>) {
    let sleeps = mem::take(&mut connections.sleeps);
    drop(connections);
    if sleeps {
        keeper.signal();
    }
}

/// A child begins: its descriptors are the same from then on.
pub(super) fn begin() {
    if let Ok(wakeup) = EventFd::new() {
        // httpd calls child_init once.
        let _ = KEEPER.set(Keeper { wakeup: Arc::new(wakeup), runs: OnceLock::new() });
    }
}

/// What wakes the thread, which is started when it is needed first. Nothing where that is not possible: connections close then.
fn keeper() -> Option<&'static EventFd> {
    let keeper = KEEPER.get()?;
    let runs = keeper.runs.get_or_init(|| {
        let own = Arc::clone(&keeper.wakeup);
        let run = move || fence("the keeper of connections", (), || keep(&own));
        let started = sys::spawn("gw-rest", STACK, run);
        if let Err(error) = &started {
            let text =
                format_args!("cannot start a thread that looks after connections to processes: {error}");
            log::coded(Level::Error, THREADS_FAILED, text);
        }
        started.is_ok()
    });
    runs.then_some(&*keeper.wakeup)
}

/// The thread's life, as long as the child's.
fn keep(wakeup: &EventFd) {
    loop {
        let mut connections = lock(&IDLE);
        let closing = connections.close_idle();
        let (ended, stuck) = connections.look_at_left();
        let mut entries = vec![entry(wakeup.as_raw_fd())];
        entries.extend(connections.left.iter().map(|left| entry(left.wire.descriptor())));
        let next = connections.next_look();
        connections.sleeps = next.is_none();
        drop(connections);
        // What this gives back may let others go: not inside of the lock.
        drop((closing, ended));
        stuck.into_iter().for_each(|left| left.seat.leave_stuck());
        poll(&mut entries, next);
        wakeup.take();
    }
}

impl IdleConnections {
    /// Takes out the connections that are to be closed.
    fn close_idle(&mut self) -> Vec<Idle> {
        let is_over = |idle: &Idle| idle.since.elapsed() >= IDLE_TIME || !idle.wire.is_idle();
        let (closing, idle) = mem::take(&mut self.idle).into_iter().partition(is_over);
        self.idle = idle;
        closing
    }

    /// Takes out the processes that are done, and those that take too long.
    fn look_at_left(&mut self) -> (Vec<Abandoned>, Vec<Abandoned>) {
        let (mut ended, mut stuck) = (Vec::new(), Vec::new());
        for left in mem::take(&mut self.left) {
            if has_ended(&left.wire) {
                ended.push(left);
            } else if left.until <= Instant::now() {
                stuck.push(left);
            } else {
                self.left.push(left);
            }
        }
        (ended, stuck)
    }

    /// How long nothing needs to be looked at; `None`: nothing is there.
    fn next_look(&self) -> Option<Duration> {
        let left = self.left.iter().map(|left| left.until.saturating_duration_since(Instant::now())).min();
        let idle = (!self.idle.is_empty()).then_some(LOOK_EVERY);
        left.into_iter().chain(idle).min()
    }
}

/// Throws away what a process still writes. Answers whether it has closed the connection.
fn has_ended(wire: &Wire) -> bool {
    let mut part = [0; PART];
    loop {
        match wire.receive(&mut part) {
            Received::Bytes(_) => {}
            Received::Nothing => return false,
            Received::End | Received::Broken => return true,
        }
    }
}

fn entry(fd: i32) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}
