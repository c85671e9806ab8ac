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
    log::{self, Level},
    sys::{lock, spawn},
};

pub(crate) use crate::raw::now;
use crate::raw::{Board, Wire};

/// How long a connection may be idle where nothing is configured.
pub(crate) const IDLE_TIME: Duration = Duration::from_secs(1);
/// Idle connections of a process to a backend where nothing is configured.
pub(crate) const IDLE_LIMIT: usize = 32;
/// Requests after which a connection is closed.
const MOST_REQUESTS: u32 = 1000;
/// More than this is no request that is read in one piece: what is left of it says nothing about the backend.
const ONE_PIECE: u64 = 8000;
/// How long nobody keeps a connection after somebody who waits has said so. Longer than the time between two calls.
const SHY_TIME: Duration = Duration::from_millis(100);
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

    /// A request begins to wait for this backend.
    pub(crate) fn wait(&self) -> Waiting {
        if let Some(board) = Board::shared() {
            board.enter(self.hash);
        }
        Waiting(self.hash)
    }

    /// Whether the backend has a path, not a port.
    pub(crate) fn is_unix(&self) -> bool {
        self.address.starts_with(UNIX)
    }

    /// What is known of this backend.
    pub(crate) fn record(&self) -> Option<BackendRecord<'static>> {
        Board::shared()?.records().of(self.hash)
    }

    fn is_wanted(&self) -> bool {
        Board::shared().is_some_and(|board| board.is_wanted(self.hash, SHY_TIME))
    }
}

/// A request that waits, until this is dropped.
pub(crate) struct Waiting(u64);

impl Waiting {
    /// Tells everybody.
    pub(crate) fn call(&self) {
        if let Some(board) = Board::shared() {
            board.call(self.0);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(board) = Board::shared() {
            board.leave(self.0);
        }
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

static POOL: Mutex<IdlePool> =
    Mutex::new(IdlePool { idle: Vec::new(), has_reaper: false, reaper_sleeps: false });
static WAKE: Condvar = Condvar::new();

/// The connection to a backend that became idle last of those that are good for the request. What cannot be sent again takes one
/// only where connections have been idle for as long and could be used. Nobody takes one whose process still works.
pub(crate) fn take(key: &Key, requirement: Requirement) -> Option<(Wire, History)> {
    let record = key.record()?;
    let looks = record.is_lazy() || requirement.names_php || requirement.for_once && record.wants_sample();
    loop {
        let mut found = {
            let mut pool = lock(&POOL);
            let at = pool.idle.iter().rposition(|idle| idle.key == *key)?;
            let idle = pool.idle.get(at)?.since.elapsed();
            if requirement.for_once && !record.keeps(millis(idle)) {
                return None;
            }
            pool.idle.remove(at)
        };
        found.history.idle = found.since.elapsed();
        if found.until <= Instant::now() {
            continue;
        }
        if looks && found.wire.has_unread(key.is_unix()) == Some(true) {
            continue;
        }
        // The second look: a process of PHP that ends closes its side, and then reads what is left until we close ours.
        if found.wire.is_idle() {
            return Some((found.wire, found.history));
        }
        record.has_closed();
    }
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
        surplus = Some(pool.idle.remove(oldest));
    }
    pool.idle.push(Idle { key, wire, history, since: now, until: now + limits.time });
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
        let (closing, idle) =
            mem::take(&mut pool.idle).into_iter().partition(|idle| idle.until <= now || idle.key.is_wanted());
        pool.idle = idle;
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
