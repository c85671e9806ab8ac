// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events from the server's threads to an event loop, which sleeps on a descriptor.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gangway_abi::{
    ffi::{GW_ERROR, gw_request, gw_request_head},
    host,
};

/// Something for the loop.
#[derive(Clone, Copy, Debug)]
pub(super) enum LoopEvent {
    /// A request, which is the loop's until finish().
    New {
        /// The request.
        request: *mut gw_request,
        /// Its head.
        head: *const gw_request_head,
    },
    /// GW_READY_* for a request, which may have ended since.
    Ready {
        /// Its name.
        request: *mut gw_request,
        /// What it need not wait for.
        what: u32,
    },
    /// A request is to end soon; it may have ended since.
    Cancel {
        /// Its name.
        request: *mut gw_request,
    },
    /// The loop is to end.
    Stop,
}

// SAFETY: a request may be finished on another thread than the one that handle() was called on (gangway.h), and the others
// are names that nobody dereferences.
unsafe impl Send for LoopEvent {}

/// A queue whose descriptor is written to only when the loop may sleep: it counts as told until it has found nothing.
pub(super) struct LoopQueue {
    state: Mutex<QueueState>,
    passed: Condvar,
    /// For who watches the loop and has nothing to do.
    stirred: Condvar,
    eventfd: File,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<LoopEvent>,
    told: bool,
    /// What its descriptor has been written, or is about to be, and has not been read from it.
    unread: u64,
    closed: bool,
    /// How often the loop has looked.
    passes: u64,
    /// How many events there have been.
    pushed: u64,
    /// Who watches waits for the next one.
    is_resting: bool,
    /// The loop is to look when it is told: not while it loads the application.
    serves: bool,
    /// Threads that wait for it to look.
    watchers: usize,
}

/// What is known of a loop that has been asked to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// How often it had looked before.
    pub(super) passes: u64,
    /// How many events there have been.
    pub(super) pushed: u64,
}

impl QueueState {
    /// The loop is told, if it has not been yet: then its descriptor is to be written to.
    fn tell(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.told, true);
        self.unread += u64::from(first);
        first
    }
}

impl LoopQueue {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers; the descriptor is ours alone.
        let eventfd = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(fd)
        };
        Ok(Self { state: Mutex::default(), passed: Condvar::new(), stirred: Condvar::new(), eventfd })
    }

    pub(super) fn fileno(&self) -> i32 {
        self.eventfd.as_raw_fd()
    }

    /// Adds an event. Answers whether there is a loop that takes it. THREAD: any.
    pub(super) fn push(&self, event: LoopEvent) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let mut given_up = None;
        if let LoopEvent::Cancel { request } = event {
            // Nobody has seen it: it ends here, even where the loop does not go on.
            let is_it =
                |event: &LoopEvent| matches!(event, LoopEvent::New { request: new, .. } if *new == request);
            given_up = state.events.iter().position(is_it).and_then(|at| state.events.remove(at));
        }
        state.serves &= !matches!(event, LoopEvent::Stop);
        state.events.push_back(event);
        state.pushed += 1;
        let first = state.tell();
        let is_resting = std::mem::take(&mut state.is_resting);
        drop(state);
        if is_resting {
            self.stirred.notify_all();
        }
        if let Some(event) = given_up {
            refuse(event);
        }
        if first {
            self.tell();
        }
        true
    }

    fn tell(&self) {
        // It fails when the counter is full: the loop has been told then.
        let _told = (&self.eventfd).write(&1u64.to_ne_bytes());
    }

    /// From now on the loop takes events, or stands still for a while. LOOP.
    pub(super) fn serve(&self, serves: bool) {
        self.state().serves = serves;
    }

    /// Has the loop look, without an event. `None`: it takes none at the moment.
    pub(super) fn probe(&self) -> Option<Probe> {
        let mut state = self.state();
        if !state.serves || state.closed {
            return None;
        }
        let (probe, first) = (Probe { passes: state.passes, pushed: state.pushed }, state.tell());
        drop(state);
        if first {
            self.tell();
        }
        Some(probe)
    }

    /// Waits for so long, or until an event comes. Answers whether there is a loop that takes them.
    pub(super) fn rest(&self, time: Duration, until_event: bool) -> bool {
        let mut state = self.state();
        if until_event {
            state.is_resting = true;
            while state.is_resting && !state.closed {
                state = self.stirred.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        } else {
            let wait = self.stirred.wait_timeout_while(state, time, |state| !state.closed);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.closed
    }

    /// The loop is awake, and takes what comes from now on. LOOP.
    pub(super) fn awake(&self) {
        self.state().told = true;
    }

    /// At most `most` events. If there are none the next one is told of, otherwise the loop has to come again. LOOP.
    pub(super) fn take(&self, most: usize) -> Vec<LoopEvent> {
        let mut state = self.state();
        let count = state.events.len().min(most);
        let taken = state.events.drain(..count).collect();
        if count == 0 {
            self.sleep(&mut state);
        }
        self.pass(state);
        taken
    }

    /// From now on the loop may sleep.
    fn sleep(&self, state: &mut QueueState) {
        state.told = false;
        if state.unread > 0 {
            let mut count = [0; 8];
            // Nothing there: the loop has come for another reason, and who tells it has not written yet.
            if (&self.eventfd).read(&mut count).is_ok() {
                state.unread = state.unread.saturating_sub(u64::from_ne_bytes(count));
            }
        }
    }

    fn pass(&self, mut state: MutexGuard<'_, QueueState>) {
        state.passes += 1;
        let is_watched = state.watchers > 0;
        drop(state);
        if is_watched {
            self.passed.notify_all();
        }
    }

    /// Whether the loop is to end, while it takes no other events. LOOP.
    pub(super) fn is_to_stop(&self) -> bool {
        let mut state = self.state();
        self.sleep(&mut state);
        let before = state.events.len();
        state.events.retain(|event| !matches!(event, LoopEvent::Stop));
        let is_to_stop = state.events.len() < before;
        self.pass(state);
        is_to_stop
    }

    /// No loop takes events any more, and requests that none has taken fail.
    pub(super) fn refuse_rest(&self) {
        let mut state = self.state();
        state.closed = true;
        let rest: Vec<LoopEvent> = state.events.drain(..).collect();
        self.pass(state);
        self.stirred.notify_all();
        rest.into_iter().for_each(refuse);
    }

    /// How often the loop has looked.
    pub(super) fn passes(&self) -> u64 {
        self.state().passes
    }

    /// Waits until the loop has looked again, `most` at most. Answers whether it has.
    pub(super) fn has_passed(&self, before: u64, most: Duration) -> bool {
        let deadline = Instant::now() + most;
        let mut state = self.state();
        while state.passes == before {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.watchers += 1;
            state = self.passed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.watchers -= 1;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a request that no loop has taken.
fn refuse(event: LoopEvent) {
    if let (LoopEvent::New { request, .. }, Some(host)) = (event, host::host()) {
        // SAFETY: the request was handed over by handle(), and nobody has taken it who could have ended it.
        let _gone = unsafe { (host.finish)(request, GW_ERROR) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(queue: &LoopQueue) -> bool {
        let mut entry = libc::pollfd { fd: queue.fileno(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives for the call.
        unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
    }

    #[test]
    fn a_loop_that_looks_before_it_is_told_sleeps_after_that() {
        let queue = LoopQueue::new().unwrap();
        assert!(queue.state().tell(), "somebody is about to write");
        assert!(queue.take(1).is_empty(), "the loop looks for another reason");
        assert!(queue.state().tell(), "and somebody else writes first");
        queue.tell();
        assert!(queue.take(1).is_empty() && !is_readable(&queue));
        queue.tell();
        assert!(is_readable(&queue));
        assert!(
            queue.take(1).is_empty() && !is_readable(&queue),
            "nothing is left that would wake it for ever"
        );
    }

    #[test]
    fn a_loop_that_is_awake_is_not_told() {
        let queue = LoopQueue::new().unwrap();
        queue.awake();
        assert!(queue.push(LoopEvent::Stop) && !is_readable(&queue));
        assert_eq!((queue.take(2).len(), queue.take(2).len()), (1, 0));
        assert!(queue.push(LoopEvent::Stop) && is_readable(&queue));
    }
}
