// SPDX-License-Identifier: MIT OR Apache-2.0
//! Idle connections of this process to FastCGI backends.
//!
//! A process of php-fpm serves one connection until it is closed: an idle connection keeps it from everybody
//! else. So idle connections are few, they live for a second, and they are closed as soon as any process of this
//! server has a request that waits on a new connection to the same backend ([`Board`]).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gangway::{
    backends::BackendRecord,
    contention::{Call, Calls},
    log::{self, Level},
    sys::{lock, spawn},
};

use gangway_httpd::transfer::Wire;

use crate::raw::Board;
pub(crate) use crate::raw::now;

/// How long a connection may be idle where nothing is configured.
pub(crate) const IDLE_TIME: Duration = Duration::from_secs(1);
/// Idle connections of a process to a backend where nothing is configured.
pub(crate) const IDLE_LIMIT: usize = 32;
/// Requests after which a connection is closed.
const MOST_REQUESTS: u32 = 1000;
/// More than this is no request that is read in one piece: what is left of it says nothing about the backend.
const ONE_PIECE: u64 = 8000;
/// After so long a process has mostly come back for its next request, also when others have the processors.
const SETTLED: Duration = Duration::from_millis(5);
/// After so long it is taken to work for what it has answered, and not to be late alone.
const WORKS: Duration = Duration::from_millis(10);
/// The stack of the thread that closes connections.
const STACK: usize = 64 * 1024;

/// What precedes the path of a unix socket in an address.
pub(crate) const UNIX: &[u8] = b"unix:";

/// A backend: its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    hash: u64,
    address: Vec<u8>,
}

impl Key {
    pub(crate) fn new(address: Vec<u8>) -> Self {
        // The same in all processes of a server: this hasher has no random start.
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Self { hash: hasher.finish(), address }
    }

    /// Whether the backend has a path, not a port.
    pub(crate) fn is_unix(&self) -> bool {
        self.address.starts_with(UNIX)
    }

    /// What is known of this backend.
    pub(crate) fn record(&self) -> Option<BackendRecord<'static>> {
        Board::shared()?.records().of(self.hash)
    }

    fn calls(&self) -> Option<Calls<'static>> {
        Board::shared()?.calls(self.hash)
    }

    /// Whether a request waits for this backend: then the caller closes a connection.
    fn is_wanted(&self) -> bool {
        self.calls().is_some_and(|calls| calls.answer(now()))
    }
}

/// A request that waits for a process which somebody's idle connection may hold, until this is dropped.
pub(crate) struct Waiting(Option<(Calls<'static>, Call)>);

impl Waiting {
    /// Nobody knows of it yet.
    pub(crate) fn begin() -> Self {
        Self(None)
    }

    /// Tells everybody that it waits, or still does.
    pub(crate) fn call(&mut self, key: &Key) {
        let earlier = self.0.map(|(_, call)| call);
        self.0 = key.calls().map(|calls| (calls, calls.call(earlier, now()).0));
        if let Some(board) = Board::shared() {
            // One that is repeated may be for a process that has come back since.
            board.wake();
        }
    }

    /// It does not wait.
    pub(crate) fn end(&mut self) {
        if let Some((calls, call)) = self.0.take() {
            calls.withdraw(call);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a connection has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    born: Instant,
    served: u32,
    /// For how long it was idle before its last request.
    idle: Duration,
}

impl History {
    /// That of a new connection.
    pub(crate) fn begin() -> Self {
        Self { born: Instant::now(), served: 0, idle: Duration::ZERO }
    }
}

/// How connections to a backend are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepLimits {
    /// How many may be idle in this process.
    pub(crate) count: usize,
    /// For how long.
    pub(crate) time: Duration,
    /// How old they may become.
    pub(crate) age: Option<Duration>,
    /// They are kept also where nobody here sees what the backend reads.
    pub(crate) blindly: bool,
}

/// What a request wants of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    /// It is not sent again when the connection fails.
    pub(crate) for_once: bool,
    /// It names a script of PHP, which leaves the end of a request unread until it comes back for the next one.
    pub(crate) names_php: bool,
}

struct Idle {
    key: Key,
    wire: Wire,
    history: History,
    since: Instant,
    until: Instant,
    /// Its process was found at work: when it is looked at again.
    busy_until: Option<Instant>,
}

impl Idle {
    /// For how long it has been idle.
    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Its process still works. It is asked again when it has worked a quarter longer, so that requests do not ask all such
    /// connections again and again.
    fn is_busy(&mut self, now: Instant) {
        self.busy_until = Some(now + Duration::from_millis(1) + self.time(now) / 4);
    }

    /// Whether somebody waits for a process of its backend.
    fn is_contended(&self) -> bool {
        self.key.calls().is_some_and(|calls| calls.are_open(now()))
    }

    /// Whether a request waits for its process. One that is at work has none to give away.
    fn is_wanted(&mut self, now: Instant) -> bool {
        if !self.is_contended() {
            return false;
        }
        if self.wire.has_unread(self.key.is_unix()) == Some(true) {
            self.is_busy(now);
            return false;
        }
        self.key.is_wanted()
    }

    /// Whether its process has been found at work, and has been so for longer than it takes to come back.
    fn is_at_work(&self, now: Instant) -> bool {
        self.busy_until.is_some() && self.time(now) >= WORKS
    }
}

#[derive(Default)]
struct IdlePool {
    /// In the order in which they became idle.
    idle: Vec<Idle>,
    /// There is a thread that closes them.
    has_reaper: bool,
    /// It sleeps, because there was nothing to close.
    reaper_sleeps: bool,
}

impl IdlePool {
    /// Takes out the connection that is to be tried next. `looks`: their processes may still work.
    fn pick(&mut self, now: Instant, looks: bool, is_good: impl Fn(&Idle) -> bool) -> Option<Idle> {
        let is_good = |idle: &Idle| is_good(idle) && idle.busy_until.is_none_or(|until| until <= now);
        let is_settled = |idle: &Idle| (!looks || idle.time(now) >= SETTLED) && is_good(idle);
        let last = self.idle.iter().rposition(is_settled);
        let at = last.or_else(|| self.idle.iter().position(is_good).filter(|_| looks))?;
        Some(self.idle.remove(at))
    }

    /// Takes out what has been idle for too long, and what is in the way of a request that waits: a process that is free is
    /// given away for each of them; and where there are too few, those at work are to find the new connections when they have done,
    /// whichever is the first.
    fn extract_useless(&mut self, now: Instant) -> Vec<Idle> {
        let mut useless: Vec<_> =
            self.idle.extract_if(.., |idle| idle.until <= now || idle.is_wanted(now)).collect();
        useless.extend(self.idle.extract_if(.., |idle| idle.is_at_work(now) && idle.is_contended()));
        useless
    }

    /// Puts back what has not been idle only since now.
    fn put_back(&mut self, idle: Idle) {
        let at = self.idle.partition_point(|known| known.since <= idle.since);
        self.idle.insert(at, idle);
    }
}

static POOL: Mutex<IdlePool> =
    Mutex::new(IdlePool { idle: Vec::new(), has_reaper: false, reaper_sleeps: false });
static WAKE: Condvar = Condvar::new();

/// A connection to a backend that is good for the request: the one that became idle last; but of one whose processes may
/// still work, one that has had time to come back. What cannot be sent again takes one only where connections have been
/// idle for as long and could be used. Nobody takes one whose process still works; if there are no others, the one whose process
/// has been at work for longest is closed, so that this process finds the new connection of the request when it has done.
pub(crate) fn take(key: &Key, requirement: Requirement) -> Option<(Wire, History)> {
    let record = key.record()?;
    let looks = record.is_lazy() || requirement.names_php || requirement.for_once && record.wants_sample();
    let now = Instant::now();
    let is_good = |idle: &Idle| {
        let time = millis(idle.time(now));
        if idle.key != *key || !requirement.for_once || record.keeps(time) {
            return idle.key == *key;
        }
        if record.would_show(time) && idle.wire.is_idle() {
            record.has_stayed(time);
        }
        false
    };
    let mut busy = Vec::new();
    let taken = loop {
        let picked = lock(&POOL).pick(now, looks, is_good);
        let Some(mut found) = picked else { break None };
        if found.until <= now {
            continue;
        }
        if looks && found.wire.has_unread(key.is_unix()) == Some(true) {
            found.is_busy(now);
            busy.push(found);
            continue;
        }
        // The second look: a process of PHP that ends closes its side, and then reads what is left until we close ours.
        if found.wire.is_idle() {
            found.history.idle = found.time(now);
            break Some((found.wire, found.history));
        }
        record.has_closed();
    };
    let longest = busy.iter().enumerate().min_by_key(|(_, idle)| idle.since);
    let given_up = longest
        .filter(|(_, idle)| taken.is_none() && idle.is_at_work(now))
        .map(|(at, _)| at)
        .map(|at| busy.swap_remove(at));
    if !busy.is_empty() {
        let mut pool = lock(&POOL);
        busy.into_iter().for_each(|idle| pool.put_back(idle));
        let sleeps = mem::take(&mut pool.reaper_sleeps);
        drop(pool);
        if sleeps {
            WAKE.notify_one();
        }
    }
    drop(given_up);
    taken
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Notes what a connection has shown that has answered a request. Answers whether its backend is one to keep it for.
/// `sent`: the bytes of a request without a body.
fn learn(
    record: BackendRecord<'_>,
    key: &Key,
    wire: &Wire,
    history: &History,
    sent: Option<u64>,
    blindly: bool,
) -> bool {
    if wire.is_reused() {
        record.has_kept(millis(history.idle));
    }
    let is_unix = key.is_unix();
    let is_new = !wire.is_reused() && is_unix && !record.is_lazy();
    if sent.is_some_and(|sent| sent < ONE_PIECE) && (is_new || record.wants_sample()) {
        record.sample(match wire.has_unread(is_unix) {
            None if wire.is_elsewhere() => None,
            seen => Some(seen == Some(true)),
        });
    }
    !record.is_shunned(now()) && (blindly || !record.is_blind())
}

/// Keeps a connection that has served one more request, unless it is old or somebody needs its place. `sent`: the bytes of
/// the request, if it had no body.
pub(crate) fn put(key: Key, wire: Wire, mut history: History, limits: KeepLimits, sent: Option<u64>) {
    history.served += 1;
    let is_good =
        key.record().is_none_or(|record| learn(record, &key, &wire, &history, sent, limits.blindly));
    let now = Instant::now();
    let is_old = limits.age.is_some_and(|age| now.saturating_duration_since(history.born) >= age);
    if limits.count == 0 || history.served >= MOST_REQUESTS || is_old || !is_good || key.is_wanted() {
        return;
    }
    let Ok(wire) = wire.into_kept() else { return };
    let mut surplus = None;
    let mut pool = lock(&POOL);
    if pool.idle.iter().filter(|idle| idle.key == key).count() >= limits.count
        && let Some(oldest) = pool.idle.iter().position(|idle| idle.key == key)
    {
        if key.record().is_some_and(BackendRecord::wants_proof) {
            drop(pool);
            drop(wire);
            return;
        }
        surplus = Some(pool.idle.remove(oldest));
    }
    pool.idle.push(Idle { key, wire, history, since: now, until: now + limits.time, busy_until: None });
    if !pool.has_reaper {
        pool.has_reaper = spawn("gw-idle", STACK, reap).is_ok();
        if !pool.has_reaper {
            // Nobody would close what is idle.
            let all = mem::take(&mut pool.idle);
            drop(pool);
            drop(all);
            log::process(Level::Warn, "no thread for idle connections: connections to backends are not kept");
        }
    } else if mem::take(&mut pool.reaper_sleeps) {
        drop(pool);
        WAKE.notify_one();
    }
    // Closing takes a system call: not inside of the lock.
    drop(surplus);
}

/// Closes what has been idle for too long, or is in somebody's way.
fn reap() {
    let mut pool = lock(&POOL);
    loop {
        let seen = Board::shared().map_or(0, Board::changes);
        let now = Instant::now();
        let closing = pool.extract_useless(now);
        let next = pool.idle.iter().map(|idle| idle.until.saturating_duration_since(now)).min();
        let Some(next) = next else {
            pool = close(pool, closing);
            if pool.idle.is_empty() {
                pool.reaper_sleeps = true;
                pool = WAKE.wait(pool).unwrap_or_else(PoisonError::into_inner);
            }
            continue;
        };
        drop(pool);
        drop(closing);
        match Board::shared() {
            Some(board) => board.wait(seen, next),
            None => std::thread::sleep(next),
        }
        pool = lock(&POOL);
    }
}

/// Closes connections outside of the lock.
fn close(pool: MutexGuard<'static, IdlePool>, closing: Vec<Idle>) -> MutexGuard<'static, IdlePool> {
    if closing.is_empty() {
        return pool;
    }
    drop(pool);
    drop(closing);
    lock(&POOL)
}
