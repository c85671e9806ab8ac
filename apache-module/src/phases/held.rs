// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a handler writes is to leave although the handler goes on, and most handlers end right behind it. So the beginning of a
//! response waits for a moment: for the end, with which it leaves in one piece and with its length, or for a thread of ours, which
//! lets it leave while the handler is at something else.

use std::{
    cell::OnceCell,
    io,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::THREADS_FAILED,
    log::{self, Level},
    sys::{self, TimerFd, lock},
};

use super::wanted;
use crate::raw::{Lease, Session};

/// In microseconds: what is held leaves after half of it to twice as much, on a busy server after a few of them.
const MOMENT: u64 = 1000;
/// In microseconds: for so long each response may put off the time of the next look. Mostly all is gone then, and there is none.
const PUT_OFF_MOST: u64 = 4 * MOMENT;
/// Stack of the thread, which passes bytes through httpd's filters.
const STACK: usize = 512 * 1024;

/// The response that a thread of the server holds.
#[derive(Default)]
struct HeldPlace(Mutex<Option<HeldResponse>>);

struct HeldResponse {
    lease: Arc<Lease>,
    since: u64,
}

impl HeldPlace {
    /// That of this lease is gone. A later one stays.
    fn forget(&self, gone: &Arc<Lease>) {
        let held = lock(&self.0).take_if(|held| Arc::ptr_eq(&held.lease, gone));
        drop(held);
    }
}

thread_local! {
    static PLACE: OnceCell<Arc<HeldPlace>> = const { OnceCell::new() };
}

/// A process begins: what it has open is the same from its first request on.
pub(crate) fn begin_process() {
    if wanted::number().is_some() {
        let _thread = HeldWatch::get();
    }
}

/// Has a response watched that holds something. Answers whether it is.
pub(super) fn watch(lease: &Arc<Lease>) -> bool {
    let Some(watch) = HeldWatch::get() else { return false };
    let since = watch.now();
    PLACE.with(|place| {
        let place = place.get_or_init(|| watch.place());
        *lock(&place.0) = Some(HeldResponse { lease: Arc::clone(lease), since });
    });
    watch.look_soon(since);
    true
}

/// What waits leaves, for something is done that must find it gone. That may last, and nobody needs to look meanwhile.
pub(super) fn let_go(session: &mut Session<'_>) {
    if session.staging.is_held {
        forget();
        session.let_go();
    }
}

/// The response of this thread has ended, or has nothing that waits.
pub(super) fn forget() {
    PLACE.with(|place| {
        if let Some(place) = place.get() {
            let held = lock(&place.0).take();
            drop(held);
        }
    });
}

/// Times are in microseconds from its beginning on.
struct HeldWatch {
    places: Mutex<Vec<Weak<HeldPlace>>>,
    timer: TimerFd,
    began: Instant,
    /// When the timer shows itself; passed where it is not set.
    due: AtomicU64,
    /// When the thread has looked last.
    looked: AtomicU64,
}

static WATCH: OnceLock<Option<&'static HeldWatch>> = OnceLock::new();

impl HeldWatch {
    /// `None`: there is no thread, so nothing may be held back.
    fn get() -> Option<&'static Self> {
        *WATCH.get_or_init(|| {
            let started = Self::start();
            if let Err(error) = &started {
                let text = format_args!("cannot start a thread for responses that go on: {error}");
                log::coded(Level::Error, THREADS_FAILED, text);
            }
            started.ok()
        })
    }

    fn start() -> io::Result<&'static Self> {
        let watch: &'static Self = Box::leak(Box::new(Self {
            places: Mutex::default(),
            timer: TimerFd::new()?,
            began: Instant::now(),
            due: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        }));
        sys::spawn("gw-held", STACK, || fence("the thread of responses", (), || watch.run()))?;
        Ok(watch)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A place for the calling thread.
    fn place(&self) -> Arc<HeldPlace> {
        let place = Arc::new(HeldPlace::default());
        lock(&self.places).push(Arc::downgrade(&place));
        place
    }

    /// Sees to it that there is a look, mostly without a system call: the timer serves all that comes until half of its time is over,
    /// and is then set anew before it has woken anybody.
    fn look_soon(&self, now: u64) {
        let left = self.due.load(Ordering::Relaxed).saturating_sub(now);
        let may_put_off = now.saturating_sub(self.looked.load(Ordering::Relaxed)) < PUT_OFF_MOST;
        if left == 0 || left < MOMENT / 2 && may_put_off {
            self.set(now);
        }
    }

    fn set(&self, now: u64) {
        self.due.store(now + MOMENT, Ordering::Relaxed);
        self.timer.set(Duration::from_micros(MOMENT));
    }

    fn run(&self) {
        let mut due = Vec::new();
        loop {
            let entry = libc::pollfd { fd: self.timer.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            sys::poll(&mut [entry], None);
            self.timer.acknowledge();
            let now = self.now();
            self.looked.store(now, Ordering::Relaxed);
            let mut is_any = self.look(now, &mut due);
            for (place, lease) in due.drain(..) {
                // One that cannot leave now is met again.
                if lease.let_go() { place.forget(&lease) } else { is_any = true }
            }
            if is_any {
                self.set(now);
            }
        }
    }

    /// Finds what has waited for long enough. Answers whether anything else waits.
    fn look(&self, now: u64, due: &mut Vec<(Arc<HeldPlace>, Arc<Lease>)>) -> bool {
        let mut is_any = false;
        lock(&self.places).retain(|place| {
            let Some(place) = place.upgrade() else { return false };
            if let Some(holding) = &*lock(&place.0) {
                if now.saturating_sub(holding.since) < MOMENT / 2 {
                    is_any = true;
                } else {
                    due.push((Arc::clone(&place), Arc::clone(&holding.lease)));
                }
            }
            true
        });
        is_any
    }
}
