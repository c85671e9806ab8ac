// SPDX-License-Identifier: MIT OR Apache-2.0
//! How requests of an application end that do not end by themselves, and how the application ends.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Application, Lifecycle, Runtime, in_flight::alone};
use crate::{
    engine::fence,
    error::{STOP_TIMEOUT, THREADS_FAILED},
    exchange::Exchange,
    log::{self, Level},
    pool::STACK,
    sys::{self, lock},
};

/// This part of the time for the end is left when handlers are interrupted.
const LAST_PART: u32 = 5;

/// So many threads interrupt the requests of an application at most, where many are to end at once: each call may block.
const INTERRUPTERS: usize = 4;

/// What does not end when a request of an application does not: words for the log.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// What is lost.
    pub what: &'static str,
    /// What it did not heed, and what that costs.
    pub how: &'static str,
}

impl Runtime {
    /// The process ends before its applications have.
    pub(super) fn tell_late(&self, grace: Duration) {
        let mut is_loading = false;
        let nothing_began = lock(&self.applications).values().all(|application| {
            let state = lock(&application.state);
            is_loading |= matches!(*state, Lifecycle::Loading);
            matches!(*state, Lifecycle::Loading | Lifecycle::Failed(_))
        });
        if nothing_began && is_loading {
            // No request has met one, and there is nothing to end.
            log::pass_on(Level::Info, "the worker process ends while its applications are being loaded");
            return;
        }
        let text = format_args!(
            "applications did not end within {}s; the worker process ends without them",
            grace.as_secs_f32()
        );
        log::coded(Level::Warn, STOP_TIMEOUT, text);
    }
}

impl Application {
    /// What is lost with a request that does not end.
    #[must_use]
    pub fn loss(&self) -> Loss {
        match &*lock(&self.state) {
            Lifecycle::Ready(app) if app.is_async() => Loss {
                what: "a task",
                how: "it was cancelled, which its task has not heeded; its place among in_flight= is lost",
            },
            _ => Loss { what: "a thread", how: "it was interrupted; its thread is lost" },
        }
    }

    /// Requests whose handlers run now.
    #[must_use]
    pub fn running(&self) -> Vec<Arc<Exchange>> {
        match &*lock(&self.state) {
            Lifecycle::Ready(app) => app.running(),
            Lifecycle::Loading | Lifecycle::Failed(_) | Lifecycle::Stopped => Vec::new(),
        }
    }

    /// Refuses the server's threads that wait for a turn, now and from now on: the process ends, and no turn may come.
    pub fn send_away(&self) {
        self.pool.close_gate();
    }

    /// Makes the handler of an expired request return soon, from a thread of its own: it may block.
    pub fn interrupt(self: &Arc<Self>, exchange: &Arc<Exchange>) {
        self.interrupt_all(vec![Arc::clone(exchange)]);
    }

    /// The same for many, from few threads.
    pub(super) fn interrupt_all(self: &Arc<Self>, exchanges: Vec<Arc<Exchange>>) {
        for exchange in &exchanges {
            exchange.is_interrupted.store(true, Ordering::Relaxed);
        }
        let count = exchanges.len().min(INTERRUPTERS);
        let rest = Arc::new(Mutex::new(exchanges));
        for _ in 0..count {
            let (this, rest, unreached) = (Arc::clone(self), Arc::clone(&rest), Arc::clone(&rest));
            *lock(&self.interrupts) += 1;
            let body = move || {
                let next = || lock(&rest).pop();
                while let Some(exchange) = next() {
                    fence("interrupt", (), || this.interrupt_now(&exchange));
                }
                this.interrupt_ended();
            };
            if let Err(error) = sys::spawn("gw-interrupt", STACK, body) {
                self.interrupt_ended();
                // Those whom no other thread gets to are to be interrupted at the end.
                lock(&unreached).iter().for_each(|exchange| {
                    exchange.is_interrupted.store(false, Ordering::Relaxed);
                });
                log::coded(
                    Level::Error,
                    THREADS_FAILED,
                    format_args!("cannot start a thread to interrupt a request: {error}"),
                );
            }
        }
    }

    fn interrupt_now(&self, exchange: &Arc<Exchange>) {
        let app = match &*lock(&self.state) {
            Lifecycle::Ready(app) => Arc::clone(app),
            _ => return,
        };
        app.interrupt(exchange);
    }

    fn interrupt_ended(&self) {
        *lock(&self.interrupts) -= 1;
        self.interrupts_done.notify_all();
    }

    fn await_interrupts(&self, deadline: Instant) {
        let mut count = lock(&self.interrupts);
        while *count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            count = self.interrupts_done.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn stop_pools(&self, deadline: Instant) -> bool {
        // All of them, even if one does not end.
        let beside = self.lanes.all().iter().filter(|pool| !pool.stop(deadline)).count();
        self.pool.stop(deadline) && beside == 0
    }

    /// Ends it. Handlers that still run when most of the time is over are interrupted, so that the log says where they were and
    /// exit handlers may still run. Answers whether all have ended.
    pub(super) fn stop(self: &Arc<Self>, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let early = deadline.checked_sub(left / LAST_PART).unwrap_or(deadline);
        self.land(early);
        let mut ended = self.stop_pools(early);
        if !ended {
            for exchange in self.running() {
                let (name, label) = (&self.config.spec().name, exchange.label());
                let text =
                    format_args!("{name}: {label} still runs at the end of the worker; it is interrupted");
                log::coded(Level::Warn, STOP_TIMEOUT, text);
                self.interrupt(&exchange);
            }
            ended = self.stop_pools(deadline);
        }
        self.await_interrupts(deadline);
        let state = std::mem::replace(&mut *lock(&self.state), Lifecycle::Stopped);
        let Lifecycle::Ready(app) = state else { return true };
        match alone(app, if ended { deadline } else { early }) {
            Ok(app) if ended => {
                app.unload();
                true
            }
            // A handler still runs in it: unloading would pull the ground from under it.
            _ => {
                let name = &self.config.spec().name;
                let text =
                    format_args!("{name}: requests still run at the end of the worker; exit handlers do not");
                log::coded(Level::Warn, STOP_TIMEOUT, text);
                false
            }
        }
    }
}
