// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who takes which request, and who must be woken: decisions without threads.

use std::collections::VecDeque;

use super::Refusal;

/// What a pool thread that runs nothing does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Wait to be woken, between [`Plan::fall_asleep`] and [`Plan::wake_up`].
    Sleep,
    /// Take the application's lock, then requests.
    Run,
    /// Watch whether others get on, between [`Plan::watch`] and [`Plan::look`].
    Watch,
    /// Leave.
    End,
}

/// The thread that is on its way from sleep to its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
enum Search {
    None,
    /// A sleeping thread has been woken.
    Sent,
    /// It is awake and waits for the application's lock.
    OnItsWay,
}

/// After so many runs in which nothing waited behind another, requests come one after the other.
const CALM: u32 = 256;

/// The thread that sleeps for moments and sees whether others get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
enum Watch {
    None,
    /// A sleeping thread has been woken for it.
    Sent,
    On,
}

/// What a watching thread does after a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Watch on.
    Again,
    /// Nobody gets on: take the application's lock.
    Enter,
    /// There is nothing to watch.
    Over,
}

/// How long a running thread has had the application's lock, as far as a clock can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Briefly,
    /// For long, unless its handler waited for something meanwhile and gave the lock up.
    Perhaps,
    /// For long, with one short request after the other.
    Long,
}

/// What a running thread does between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It goes on.
    Keep,
    /// It leaves the queue to the searcher.
    Leave,
    /// It leaves the application's lock to those who may want it, and is the searcher itself.
    Return,
}

/// The queue and the threads' states.
///
/// At most one thread searches at a time: it may wait long for an interpreter's lock, and a second one would only
/// wait behind it, and be woken for nothing if the running thread empties the queue. A thread that takes a request
/// while others wait sends the next searcher.
///
/// Where searchers wait long while the running thread takes one request after the other, a lock is *crowded*. From then
/// on a thread is sent to watch instead: it goes to the lock only if nothing is taken for a moment although requests
/// wait. When it then gets the lock at once, the handlers wait for something else, and searchers are sent again.
///
/// ```text
/// asleep --submit or take--> sent --awake--> on its way --entered--> running --queue empty, or gives way--> asleep
/// asleep --submit or take--> sent --awake--> watching --nothing taken--> on its way
/// ```
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Plan<T> {
    waiting: VecDeque<T>,
    most: usize,
    alive: usize,
    /// Threads that sleep and have not been sent, the last to fall asleep at the end.
    asleep: VecDeque<usize>,
    busy: usize,
    search: Search,
    watch: Watch,
    /// Threads between [`Plan::entered`] and [`Plan::left`].
    running: usize,
    crowded: bool,
    /// Requests taken so far, and how many of them when the search and the last look began.
    taken: u64,
    taken_at_search: u64,
    taken_at_look: u64,
    /// The searcher has come from watching.
    from_watch: bool,
    /// A request was taken while others waited, since the last look.
    others_waited: bool,
    /// Runs since a request was taken while others waited; no more than [`CALM`].
    single: u32,
    stopping: bool,
}

impl<T> Plan<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            most,
            alive: 0,
            asleep: VecDeque::new(),
            busy: 0,
            search: Search::None,
            watch: Watch::None,
            running: 0,
            crowded: false,
            taken: 0,
            taken_at_search: 0,
            taken_at_look: 0,
            from_watch: false,
            others_waited: false,
            single: CALM,
            stopping: false,
        }
    }

    /// As if searchers had waited in vain before.
    #[cfg(test)]
    pub(super) fn crowd(&mut self) {
        self.crowded = true;
    }

    /// The pool has this many threads now.
    pub(super) fn add_threads(&mut self, threads: usize) {
        self.alive += threads;
    }

    /// Queues a request; answers which sleeping thread must be woken.
    pub(super) fn submit(&mut self, request: T) -> Result<Option<usize>, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        // What a thread without a request takes at once does not wait, be it asleep or on its way there.
        if self.waiting.len() >= self.most.saturating_add(self.alive.saturating_sub(self.busy)) {
            return Err(Refusal::Full);
        }
        self.waiting.push_back(request);
        Ok(self.send())
    }

    /// Whether it is for the running thread to take what waits, as long as it gets on.
    fn leaves_it_to_runner(&self) -> bool {
        self.crowded && self.running > 0
    }

    fn send(&mut self) -> Option<usize> {
        let watches = self.leaves_it_to_runner();
        let done = self.search != Search::None || (watches && self.watch != Watch::None);
        if done || self.waiting.is_empty() {
            return None;
        }
        // One request after the other: the last to sleep has its stack and its objects in the processor's caches.
        // Many at a time: the one that needs longest to wake finds more requests when it comes, and is woken for
        // fewer of them.
        let calm = self.single == CALM;
        let thread = if calm { self.asleep.pop_back() } else { self.asleep.pop_front() }?;
        if watches {
            self.watch = Watch::Sent;
        } else {
            self.search = Search::Sent;
        }
        Some(thread)
    }

    fn begin_search(&mut self, from_watch: bool) {
        self.search = Search::OnItsWay;
        self.taken_at_search = self.taken;
        self.from_watch = from_watch;
    }

    /// For a thread that runs nothing. Whoever wakes first takes a part, so a spurious wake-up does no harm. And what
    /// came while this thread gave up the application's lock is its own, when nobody slept who could be woken.
    pub(super) fn next_run(&mut self) -> Task {
        let waits = !self.waiting.is_empty();
        if self.search == Search::Sent
            || (self.search == Search::None && waits && !self.leaves_it_to_runner())
        {
            self.begin_search(false);
            return Task::Run;
        }
        if self.watch == Watch::Sent || (self.search == Search::None && waits && self.watch == Watch::None) {
            self.watch = Watch::On;
            self.taken_at_look = self.taken;
            return Task::Watch;
        }
        if self.stopping { Task::End } else { Task::Sleep }
    }

    /// A moment has passed for the watching thread.
    pub(super) fn look(&mut self) -> Look {
        let stands_still = std::mem::replace(&mut self.taken_at_look, self.taken) == self.taken;
        let others_waited = std::mem::take(&mut self.others_waited);
        if self.stopping || (self.waiting.is_empty() && !others_waited) {
            self.watch = Watch::None;
            return Look::Over;
        }
        let needed = stands_still || self.running == 0;
        if self.waiting.is_empty() || self.search != Search::None || !needed {
            return Look::Again;
        }
        self.watch = Watch::None;
        self.begin_search(true);
        Look::Enter
    }

    pub(super) fn fall_asleep(&mut self, thread: usize) {
        self.asleep.push_back(thread);
    }

    /// A thread is awake again, sent or without a reason.
    pub(super) fn wake_up(&mut self, thread: usize) {
        self.asleep.retain(|asleep| *asleep != thread);
    }

    /// The searcher has taken the application's lock, and whether it had to wait long for it.
    pub(super) fn entered(&mut self, waited: bool) {
        self.search = Search::None;
        self.running += 1;
        if waited && self.taken - self.taken_at_search >= 2 {
            self.crowded = true;
        } else if !waited && self.from_watch {
            self.crowded = false;
        }
    }

    /// The next request for a running thread, and which other thread must be woken.
    pub(super) fn take(&mut self) -> Option<(T, Option<usize>)> {
        let request = self.waiting.pop_front()?;
        self.busy += 1;
        self.taken += 1;
        let wake = self.send();
        if !self.waiting.is_empty() {
            self.others_waited = true;
            self.single = 0;
        }
        Some((request, wake))
    }

    /// A running thread has done what it took.
    pub(super) fn handled(&mut self) {
        self.busy -= 1;
    }

    /// Whether a running thread gives up the application's lock between two requests although some wait. Under an
    /// interpreter's lock others may wait for it: the searcher, or handlers that have waited for something else and
    /// want to go on. The interpreter would take it away in the end, in the middle of a request, and that
    /// request would wait for as long.
    pub(super) fn way(&mut self, held: Held) -> Way {
        match self.search {
            _ if self.waiting.is_empty() => Way::Keep,
            Search::OnItsWay if held != Held::Briefly => Way::Leave,
            Search::None if held == Held::Long && self.busy > 0 => {
                self.begin_search(false);
                Way::Return
            }
            _ => Way::Keep,
        }
    }

    /// A run has ended that served so many requests.
    pub(super) fn left(&mut self, served: usize) {
        self.running -= 1;
        // None: it came for what somebody else took.
        if served > 0 {
            self.single = CALM.min(self.single + 1);
        }
    }

    /// Takes the first request that fits out of the queue.
    pub(super) fn withdraw(&mut self, is_it: impl Fn(&T) -> bool) -> bool {
        let index = self.waiting.iter().position(is_it);
        index.and_then(|index| self.waiting.remove(index)).is_some()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Empties the queue.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.waiting.drain(..).collect()
    }

    /// Takes no more requests, and gives back those that wait.
    pub(super) fn stop(&mut self) -> Vec<T> {
        self.stopping = true;
        self.clear()
    }

    pub(super) fn alive(&self) -> usize {
        self.alive
    }

    pub(super) fn thread_ended(&mut self) {
        self.alive -= 1;
    }
}

#[cfg(test)]
mod tests;
