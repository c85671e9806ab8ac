// SPDX-License-Identifier: MIT OR Apache-2.0
//! Admission of a server's own threads: so many at a time, first come first served.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

use super::{Limits, Refusal};
use crate::sys::lock;

pub(super) struct Gate {
    limits: Limits,
    state: Mutex<State>,
    drained: Condvar,
}

struct State {
    open: bool,
    stopping: bool,
    active: usize,
    line: VecDeque<Arc<Place>>,
}

/// A thread's place in the line.
#[derive(Default)]
struct Place {
    turn: Condvar,
}

/// A turn. Dropping it lets the next in.
pub struct Permit<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State { open: false, stopping: false, active: 0, line: VecDeque::new() };
        Self { limits, state: Mutex::new(state), drained: Condvar::new() }
    }

    /// Lets threads in from now on; before, they wait.
    pub(super) fn open(&self) {
        let mut state = lock(&self.state);
        state.open = true;
        self.call_next(&mut state);
    }

    pub(super) fn admit(&self, deadline: Option<Instant>) -> Result<Permit<'_>, Refusal> {
        let mut state = lock(&self.state);
        if state.stopping {
            return Err(Refusal::Stopping);
        }
        if state.open && state.line.is_empty() && state.active < self.limits.threads {
            state.active += 1;
            return Ok(Permit(self));
        }
        if state.line.len() >= self.limits.queue.max(usize::from(!state.open)) {
            return Err(Refusal::Full);
        }
        let place = Arc::new(Place::default());
        state.line.push_back(Arc::clone(&place));
        loop {
            state = match deadline {
                None => place.turn.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    place.turn.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            // Whoever called this place has taken it out of the line and counted it.
            let in_line = state.line.iter().position(|other| Arc::ptr_eq(other, &place));
            let Some(index) = in_line else { return Ok(Permit(self)) };
            let late = deadline.is_some_and(|at| Instant::now() >= at);
            if late || state.stopping {
                state.line.remove(index);
                return Err(if state.stopping { Refusal::Stopping } else { Refusal::Deadline });
            }
        }
    }

    fn call_next(&self, state: &mut State) {
        while state.open
            && state.active < self.limits.threads
            && let Some(place) = state.line.pop_front()
        {
            state.active += 1;
            place.turn.notify_one();
        }
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).line.len()
    }

    /// Sends everybody away who waits.
    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        for place in &state.line {
            place.turn.notify_one();
        }
    }

    /// Waits until nobody is inside.
    pub(super) fn drain(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        while state.active > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.drained.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.active -= 1;
        if state.stopping {
            self.0.drained.notify_all();
        } else {
            self.0.call_next(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    fn gate(threads: usize, queue: usize) -> Gate {
        let gate = Gate::new(Limits { threads, queue });
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
        let gate = Gate::new(Limits { threads: 1, queue: 4 });
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
