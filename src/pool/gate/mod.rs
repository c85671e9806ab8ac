// SPDX-License-Identifier: MIT OR Apache-2.0
//! Admission of a server's own threads: so many at a time, and nobody waits for long behind those who come later.

mod handlers;
mod turnstile;

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{PoolLimits, Refusal};
use crate::sys::{self, lock};
use turnstile::{Awake, Turnstile};

/// A [`Turnstile`] whose threads sleep until they are woken. Nobody is woken under its lock: who wakes up runs at once, often
/// in the place of the thread that has woken it, and would sleep again, for the lock.
pub(super) struct Gate {
    turnstile: Mutex<Turnstile<Thread>>,
    drained: Condvar,
}

/// A turn. Dropping it lets the next in.
pub struct Permit<'a> {
    gate: &'a Gate,
    ticket: u64,
    /// The thread's clock is read when the handler begins.
    is_timed: bool,
    begun: Option<(Instant, Option<Duration>)>,
}

impl Gate {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self { turnstile: Mutex::new(Turnstile::new(limits.threads, limits.queue)), drained: Condvar::new() }
    }

    /// Lets threads in from now on; before, they wait. `has_lock`: what runs inside waits for an interpreter's lock.
    pub(super) fn open(&self, has_lock: bool) {
        lock(&self.turnstile).open(has_lock);
        while let Some(next) = { lock(&self.turnstile).wake(Instant::now()) } {
            next.unpark();
        }
    }

    pub(super) fn admit(&self, deadline: Option<Instant>) -> Result<Permit<'_>, Refusal> {
        let mut now = Instant::now();
        let mut turnstile = lock(&self.turnstile);
        if let Some(ticket) = turnstile.enter(now)? {
            return Ok(self.permit(turnstile, ticket));
        }
        if turnstile.is_brisk() {
            drop(turnstile);
            // Who is inside is done when this thread has run again, and costs it less than a sleep would.
            thread::yield_now();
            now = Instant::now();
            turnstile = lock(&self.turnstile);
            if let Some(ticket) = turnstile.enter(now)? {
                return Ok(self.permit(turnstile, ticket));
            }
        }
        let ticket = turnstile.wait(thread::current(), now)?;
        self.sleep(turnstile, ticket, deadline)
    }

    /// Sleeps until it is this thread's turn.
    fn sleep<'a>(
        &'a self,
        mut turnstile: MutexGuard<'a, Turnstile<Thread>>,
        ticket: u64,
        deadline: Option<Instant>,
    ) -> Result<Permit<'a>, Refusal> {
        let mut now = Instant::now();
        loop {
            let watch = turnstile.sleep(ticket, now);
            drop(turnstile);
            let left = deadline.map(|at| at.saturating_duration_since(now));
            match watch.into_iter().chain(left).min() {
                Some(time) => thread::park_timeout(time),
                None => thread::park(),
            }
            now = Instant::now();
            turnstile = lock(&self.turnstile);
            match turnstile.awake(ticket, now) {
                Awake::Runs(next) => {
                    let permit = self.permit(turnstile, ticket);
                    wake(next);
                    return Ok(permit);
                }
                Awake::Waits(next) if deadline.is_some_and(|at| now >= at) => {
                    let another = turnstile.withdraw(ticket, now).flatten();
                    drop(turnstile);
                    wake(next);
                    wake(another);
                    return Err(Refusal::Deadline);
                }
                Awake::Waits(None) => {}
                Awake::Waits(next) => {
                    drop(turnstile);
                    wake(next);
                    turnstile = lock(&self.turnstile);
                }
                Awake::Stopping => return Err(Refusal::Stopping),
            }
        }
    }

    fn permit(&self, turnstile: MutexGuard<'_, Turnstile<Thread>>, ticket: u64) -> Permit<'_> {
        Permit { gate: self, ticket, is_timed: turnstile.handlers().are_timed(), begun: None }
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.turnstile).waiting().len()
    }

    /// Sends everybody away who waits.
    pub(super) fn stop(&self) {
        let mut turnstile = lock(&self.turnstile);
        turnstile.stop();
        for waiting in turnstile.waiting() {
            waiting.unpark();
        }
    }

    /// Waits until nobody is inside.
    pub(super) fn drain(&self, deadline: Instant) -> bool {
        let mut turnstile = lock(&self.turnstile);
        while turnstile.inside() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            turnstile = self.drained.wait_timeout(turnstile, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn wake(thread: Option<Thread>) {
    if let Some(thread) = thread {
        thread.unpark();
    }
}

impl Permit<'_> {
    /// The handler begins, on the calling thread: it has what it had to wait for before. Answers when.
    pub fn begin(&mut self) -> Instant {
        let used = self.is_timed.then(sys::thread_time);
        let now = Instant::now();
        self.begun = Some((now, used));
        lock(&self.gate.turnstile).begin(self.ticket, now);
        now
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let ran = self.begun.map(|(begun, used)| {
            let used = used.map(|used| sys::thread_time().saturating_sub(used));
            (now.saturating_duration_since(begun), used)
        });
        let mut turnstile = lock(&self.gate.turnstile);
        let next = turnstile.leave(self.ticket, ran, now);
        let is_stopping = turnstile.is_stopping();
        drop(turnstile);
        wake(next);
        if is_stopping {
            self.gate.drained.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    fn gate(threads: usize, queue: usize) -> Gate {
        let gate = Gate::new(PoolLimits { threads, queue });
        gate.open(false);
        gate
    }

    fn past() -> Option<Instant> {
        Some(Instant::now())
    }

    #[test]
    fn so_many_at_a_time() {
        let gate = gate(2, 1);
        let first = gate.admit(None).ok().unwrap();
        let _second = gate.admit(None).ok().unwrap();
        assert_eq!(gate.admit(past()).err(), Some(Refusal::Deadline));
        drop(first);
        assert!(gate.admit(past()).is_ok());
    }

    #[test]
    fn the_line_is_bounded() {
        let gate = gate(1, 0);
        let _turn = gate.admit(None).ok().unwrap();
        assert_eq!(gate.admit(None).err(), Some(Refusal::Full));
    }

    #[test]
    fn first_come_first_served() {
        let gate = gate(1, 8);
        let (order, served) = mpsc::channel();
        thread::scope(|scope| {
            let turn = gate.admit(None).ok().unwrap();
            for place in 0..4 {
                let (gate, order) = (&gate, order.clone());
                scope.spawn(move || {
                    let _turn = gate.admit(None).ok().unwrap();
                    order.send(place).unwrap();
                });
                while gate.waiting() <= place {
                    thread::yield_now();
                }
            }
            drop(turn);
            assert_eq!(served.iter().take(4).collect::<Vec<_>>(), [0, 1, 2, 3]);
        });
    }

    #[test]
    fn a_closed_gate_holds_and_a_stopped_one_sends_away() {
        let gate = Gate::new(PoolLimits { threads: 1, queue: 4 });
        thread::scope(|scope| {
            let held = scope.spawn(|| gate.admit(None).map(drop).err());
            while gate.waiting() == 0 {
                thread::yield_now();
            }
            gate.stop();
            assert_eq!(held.join().unwrap(), Some(Refusal::Stopping));
        });
        assert_eq!(gate.admit(None).err(), Some(Refusal::Stopping));
        assert!(gate.drain(Instant::now() + Duration::from_secs(1)));
    }
}
