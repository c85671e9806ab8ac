// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests of an application that answers later: so many at a time, and so many that wait for a place.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

use super::Refusal;
use crate::{exchange::Exchange, sys::lock};

/// For addresses of this process, which no client chooses.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        // A table looks at both ends.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = (self.0.rotate_left(5) ^ address as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Who has a place, and who waits for one. Nothing here calls an application.
pub(crate) struct InFlightRequests {
    state: Mutex<InFlightState>,
    emptied: Condvar,
    most: usize,
    queue: usize,
}

#[derive(Default)]
struct InFlightState {
    /// By their addresses.
    running: HashMap<usize, Arc<Exchange>, BuildHasherDefault<AddressHasher>>,
    waiting: VecDeque<Arc<Exchange>>,
    stopping: bool,
    /// A thread gives those who wait to the application.
    dispatching: bool,
    /// A thread waits until nobody has a place.
    is_awaited: bool,
}

impl InFlightRequests {
    pub(crate) fn new(most: usize, queue: usize) -> Self {
        Self { state: Mutex::default(), emptied: Condvar::new(), most, queue }
    }

    /// Queues a request; [`InFlightRequests::next`] has it as soon as there is a place.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Stopping`].
    pub(crate) fn submit(&self, exchange: Arc<Exchange>) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        if state.stopping {
            return Err(Refusal::Stopping);
        }
        if state.running.len() >= self.most && state.waiting.len() >= self.queue {
            return Err(Refusal::Full);
        }
        state.waiting.push_back(exchange);
        Ok(())
    }

    /// Whether the calling thread is to take what [`InFlightRequests::next`] has, until that has nothing: one thread does, so that
    /// requests which end at once are no recursion.
    pub(crate) fn begin(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).dispatching, true)
    }

    /// The request that gets a place now.
    pub(crate) fn next(&self) -> Option<Arc<Exchange>> {
        let mut state = lock(&self.state);
        let next = if state.running.len() < self.most { state.waiting.pop_front() } else { None };
        match &next {
            Some(exchange) => {
                let address = Arc::as_ptr(exchange).addr();
                state.running.insert(address, Arc::clone(exchange));
            }
            None => state.dispatching = false,
        }
        next
    }

    /// A request has ended. Answers whether somebody waits for its place.
    pub(crate) fn ended(&self, address: usize) -> bool {
        let mut state = lock(&self.state);
        let ended = state.running.remove(&address);
        if state.is_awaited && state.running.is_empty() {
            self.emptied.notify_all();
        }
        let is_wanted = !state.waiting.is_empty();
        drop(state);
        // Perhaps the last reference, with the server's side.
        drop(ended);
        is_wanted
    }

    /// Takes a request out of the queue, if it still waits there.
    pub(crate) fn withdraw(&self, exchange: &Arc<Exchange>) -> bool {
        let mut state = lock(&self.state);
        let before = state.waiting.len();
        state.waiting.retain(|other| !Arc::ptr_eq(other, exchange));
        state.waiting.len() < before
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Those that have a place.
    pub(crate) fn running(&self) -> Vec<Arc<Exchange>> {
        lock(&self.state).running.values().cloned().collect()
    }

    /// Refuses everybody from now on. Answers those that waited.
    pub(crate) fn stop(&self) -> Vec<Arc<Exchange>> {
        let mut state = lock(&self.state);
        state.stopping = true;
        state.waiting.drain(..).collect()
    }

    /// Waits until no request has a place. Answers whether that is so.
    pub(crate) fn await_empty(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        state.is_awaited = true;
        while !state.running.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exchange::{Body, Channel, Notify, ROOM, RequestHead};

    struct Nobody;

    impl Notify for Nobody {
        fn post(&self, _: u64) {}
        fn log(&self, _: u64, _: crate::log::Level, _: &str) {}
    }

    fn request() -> Arc<Exchange> {
        Exchange::new(RequestHead::default(), Channel::new(0, Arc::new(Nobody), Body::default(), ROOM))
    }

    fn address(exchange: &Arc<Exchange>) -> usize {
        Arc::as_ptr(exchange).addr()
    }

    #[test]
    fn so_many_run_and_so_many_wait() {
        let in_flight = InFlightRequests::new(2, 1);
        let [a, b, c, d] = [request(), request(), request(), request()];
        for exchange in [&a, &b] {
            in_flight.submit(Arc::clone(exchange)).unwrap();
            assert!(in_flight.begin());
            assert!(Arc::ptr_eq(&in_flight.next().unwrap(), exchange));
            assert!(in_flight.next().is_none());
        }
        in_flight.submit(Arc::clone(&c)).unwrap();
        assert_eq!(in_flight.submit(Arc::clone(&d)), Err(Refusal::Full));
        assert!(in_flight.begin() && in_flight.next().is_none());
        assert_eq!((in_flight.waiting(), in_flight.running().len()), (1, 2));
        assert!(in_flight.ended(address(&a)), "somebody waits for its place");
        assert!(in_flight.begin());
        assert!(Arc::ptr_eq(&in_flight.next().unwrap(), &c));
        assert!(!in_flight.begin(), "the thread that has taken one takes the next");
        in_flight.submit(d).unwrap();
        assert!(in_flight.next().is_none());
    }

    #[test]
    fn who_leaves_waits_no_more() {
        let in_flight = InFlightRequests::new(0, 2);
        let [a, b] = [request(), request()];
        in_flight.submit(Arc::clone(&a)).unwrap();
        in_flight.submit(Arc::clone(&b)).unwrap();
        assert!(in_flight.withdraw(&a) && !in_flight.withdraw(&a));
        let rest = in_flight.stop();
        assert!(rest.len() == 1 && Arc::ptr_eq(&rest[0], &b));
        assert_eq!(in_flight.submit(a), Err(Refusal::Stopping));
    }

    #[test]
    fn the_end_waits_for_those_that_run() {
        let in_flight = InFlightRequests::new(1, 1);
        let a = request();
        in_flight.submit(Arc::clone(&a)).unwrap();
        assert!(in_flight.begin() && in_flight.next().is_some());
        assert!(!in_flight.await_empty(Instant::now() + Duration::from_millis(1)));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!in_flight.ended(address(&a)), "nobody waits for its place"));
            assert!(in_flight.await_empty(Instant::now() + Duration::from_secs(60)));
        });
    }
}
