// SPDX-License-Identifier: MIT OR Apache-2.0
//! The handler pool: a bounded queue and the threads that serve it.
//!
//! Two ways in. [`Pool::submit`] queues a request for the pool's own threads. [`Pool::admit`] lets a thread of the
//! server run the handler itself, at most `threads` at a time.

mod admission;
mod gate;
mod in_flight;
mod plan;
mod slice;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use admission::{Admission, AdmissionQueue};
pub use gate::Permit;
pub(crate) use in_flight::InFlightRequests;
use plan::{PoolPlan, Task, Verdict, Yield};
use slice::Slice;

use crate::{
    engine::{App, fence},
    exchange::{Cause, Exchange, Outcome},
    sys::{self, lock},
};

/// Stack of a pool thread: interpreters recurse deeply. Only touched pages cost memory.
pub const STACK: usize = 8 * 1024 * 1024;

/// Limits of one application in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Handlers at a time.
    pub threads: usize,
    /// Requests that may wait.
    pub queue: usize,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many requests wait as may: 503.
    Full,
    /// It waited until its deadline: 504.
    Deadline,
    /// The process ends: 503.
    Stopping,
}

/// Requests that wait and the threads that take them.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The rest of a thread that has given way and comes back: time for those who wait for the application's lock.
const PAUSE: Duration = Duration::from_micros(100);
/// A wait for that lock from which on it counts: less than the time after which others give way to the searcher.
const WAITED: Duration = Duration::from_micros(1500);
/// How long nothing may be taken before a watching thread asks for the lock, at least.
const MOMENT: Duration = Duration::from_millis(1);

struct Shared {
    plan: Mutex<PoolPlan<Arc<Exchange>>>,
    /// Pool threads sleep here, each at its own.
    work: Box<[Condvar]>,
    /// The thread that stops the pool sleeps here.
    ended: Condvar,
    gate: gate::Gate,
    limits: PoolLimits,
}

impl Pool {
    /// A pool that takes requests but serves none before [`Pool::open`].
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        let shared = Shared {
            plan: Mutex::new(PoolPlan::new(limits.queue)),
            work: (0..limits.threads).map(|_| Condvar::new()).collect(),
            ended: Condvar::new(),
            gate: gate::Gate::new(limits),
            limits,
        };
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// What the operating system says; the pool goes on with the threads that it got, and fails without any.
    pub fn open(&self, app: &Arc<App>, name: &str) -> io::Result<usize> {
        let mut threads = lock(&self.threads);
        for number in 0..self.shared.limits.threads {
            let (shared, app) = (Arc::clone(&self.shared), Arc::clone(app));
            let body = move || {
                fence("a pool thread", (), || shared.serve(&app, number));
                shared.ended();
            };
            lock(&self.shared.plan).add_threads(1);
            match sys::spawn(name, STACK, body) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    lock(&self.shared.plan).thread_ended();
                    if threads.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        self.shared.gate.open(app.has_lock());
        Ok(threads.len())
    }

    /// Lets the server's own threads in; the pool has no threads itself. `has_lock`: their handlers wait for an
    /// interpreter's lock.
    pub fn open_gate(&self, has_lock: bool) {
        self.shared.gate.open(has_lock);
    }

    /// Sends away the server's threads that wait for a turn, and those that come.
    pub fn close_gate(&self) {
        self.shared.gate.stop();
    }

    /// Queues a request. Never blocks.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Stopping`].
    pub fn submit(&self, exchange: Arc<Exchange>) -> Result<(), Refusal> {
        let wake = lock(&self.shared.plan).submit(exchange)?;
        self.shared.wake(wake);
        Ok(())
    }

    /// Takes a request out of the queue, if it still waits there.
    pub fn withdraw(&self, exchange: &Arc<Exchange>) -> bool {
        lock(&self.shared.plan).withdraw(|waiting| Arc::ptr_eq(waiting, exchange))
    }

    /// Waits for a turn on the calling thread. The turn ends when the permit is dropped.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Deadline`], [`Refusal::Stopping`].
    pub fn admit(&self, deadline: Option<Instant>) -> Result<Permit<'_>, Refusal> {
        self.shared.gate.admit(deadline)
    }

    /// Requests that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.shared.plan).waiting() + self.shared.gate.waiting()
    }

    /// Takes every waiting request out of the queue, for an application that cannot serve them.
    #[must_use]
    pub fn clear(&self) -> Vec<Arc<Exchange>> {
        lock(&self.shared.plan).clear()
    }

    /// Stops taking requests, lets the threads finish what they run and waits for them until `deadline`.
    /// Answers whether all of them have ended.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.shared.gate.stop();
        let mut plan = lock(&self.shared.plan);
        let waste = plan.stop();
        for place in &self.shared.work {
            place.notify_one();
        }
        drop(plan);
        for exchange in waste {
            exchange.cancel(Cause::Shutdown);
            // The error is that somebody else has ended it.
            let _ = exchange.finish(Outcome::Failed);
        }
        let mut plan = lock(&self.shared.plan);
        while plan.alive() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            plan = self.shared.ended.wait_timeout(plan, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(plan);
        for thread in lock(&self.threads).drain(..) {
            // It has left its loop; a panic there has been logged by the fence.
            let _ = thread.join();
        }
        self.shared.gate.drain(deadline)
    }
}

impl Shared {
    /// The life of a pool thread: sleep, take the application's lock, take requests until none waits.
    fn serve(&self, app: &Arc<App>, thread: usize) {
        let Some(place) = self.work.get(thread) else { return };
        let mut plan = lock(&self.plan);
        loop {
            let runs = match plan.next_task() {
                Task::Sleep => {
                    plan.fall_asleep(thread);
                    plan = place.wait(plan).unwrap_or_else(PoisonError::into_inner);
                    plan.wake_up(thread);
                    false
                }
                Task::End => break,
                Task::Run => true,
                Task::Watch => loop {
                    plan = place.wait_timeout(plan, MOMENT).unwrap_or_else(PoisonError::into_inner).0;
                    match plan.look() {
                        Verdict::Again => {}
                        Verdict::Enter => break true,
                        Verdict::Over => break false,
                    }
                },
            };
            if runs {
                drop(plan);
                self.search(app);
                plan = lock(&self.plan);
            }
        }
        drop(plan);
        app.thread_end();
    }

    /// Takes the application's lock and requests, as often as it is to come back.
    fn search(&self, app: &Arc<App>) {
        let mut start = Instant::now();
        loop {
            app.enter();
            let returns = self.run(app, start);
            app.leave();
            if !returns {
                break;
            }
            thread::sleep(PAUSE);
            start = Instant::now();
        }
    }

    fn wake(&self, thread: Option<usize>) {
        if let Some(place) = thread.and_then(|thread| self.work.get(thread)) {
            place.notify_one();
        }
    }

    /// A thread has left its loop.
    fn ended(&self) {
        lock(&self.plan).thread_ended();
        self.ended.notify_all();
    }

    /// Takes requests until none waits, or until others should have the application's lock. Answers whether it comes back
    /// for the rest.
    fn run(&self, app: &Arc<App>, start: Instant) -> bool {
        let now = Instant::now();
        let mut plan = lock(&self.plan);
        plan.entered(now.duration_since(start) >= WAITED);
        let mut slice = Slice::new(now, plan.has_seen_waits().then(sys::thread_time));
        let mut served = 0;
        let mut yields = Yield::No;
        while yields == Yield::No
            && let Some((exchange, wake)) = plan.take()
        {
            let others_wait = plan.waiting() > 0;
            drop(plan);
            self.wake(wake);
            // A panic of the server's side costs this request, not the thread, which must get to leave().
            fence("a handler thread", (), || {
                if exchange.cancelled().is_none() {
                    exchange.begin(slice.next_begins());
                    if others_wait && slice.ends_soon() {
                        // The server wakes once for several of them.
                        exchange.can_leave_late();
                    }
                    app.handle(&exchange);
                }
                drop(exchange);
            });
            let held = slice.handled(Instant::now(), sys::thread_time);
            served += 1;
            plan = lock(&self.plan);
            plan.handled(slice.waited());
            yields = plan.yields(held);
        }
        plan.left(served, yields);
        yields == Yield::AndReturn
    }
}
