// SPDX-License-Identifier: MIT OR Apache-2.0
//! Admission of a server's own threads: so many at a time, first come first served.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

use super::{
    PoolLimits, Refusal,
    admission::{Admission, AdmissionQueue},
};
use crate::sys::lock;

/// An [`AdmissionQueue`] whose threads sleep until they are called.
pub(super) struct Gate {
    queue: Mutex<AdmissionQueue<Arc<Condvar>>>,
    drained: Condvar,
}

/// A turn. Dropping it lets the next in.
pub struct Permit<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self { queue: Mutex::new(AdmissionQueue::new(limits.threads, limits.queue)), drained: Condvar::new() }
    }

    /// Lets threads in from now on; before, they wait.
    pub(super) fn open(&self) {
        let mut queue = lock(&self.queue);
        queue.open();
        while let Some(called) = queue.call() {
            called.notify_one();
        }
    }

    pub(super) fn admit(&self, deadline: Option<Instant>) -> Result<Permit<'_>, Refusal> {
        let mut queue = lock(&self.queue);
        let mut called = None;
        if queue.admit(|| Arc::clone(called.insert(Arc::default())))? == Admission::Runs {
            return Ok(Permit(self));
        }
        let Some(called) = called else { return Ok(Permit(self)) };
        let is_it = |other: &Arc<Condvar>| Arc::ptr_eq(other, &called);
        loop {
            queue = match deadline {
                None => called.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    called.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            // Whoever called this thread has taken it out of the queue and counted it.
            if !queue.waiting().any(is_it) {
                return Ok(Permit(self));
            }
            let late = deadline.is_some_and(|at| Instant::now() >= at);
            if late || queue.is_stopping() {
                queue.withdraw(is_it);
                return Err(if queue.is_stopping() { Refusal::Stopping } else { Refusal::Deadline });
            }
        }
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).waiting().len()
    }

    /// Sends everybody away who waits.
    pub(super) fn stop(&self) {
        let mut queue = lock(&self.queue);
        queue.stop();
        for waiting in queue.waiting() {
            waiting.notify_one();
        }
    }

    /// Waits until nobody is inside.
    pub(super) fn drain(&self, deadline: Instant) -> bool {
        let mut queue = lock(&self.queue);
        while queue.running() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.drained.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        if let Some(called) = queue.leave() {
            called.notify_one();
        }
        if queue.is_stopping() {
            self.0.drained.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    fn gate(threads: usize, queue: usize) -> Gate {
        let gate = Gate::new(PoolLimits { threads, queue });
        gate.open();
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
