// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who takes which request, and who must be woken: decisions without threads.
//!
//! What the threads do is in [`threads`], as states and a table of transitions; what is known of the application's lock
//! is in [`lock`], as another one. Here is what follows from the two and from the queue.

mod lock;
mod threads;

use std::collections::VecDeque;

use lock::{LockState, Sighting, Weight};
use threads::{Job, PoolThreads, Transition};

use super::Refusal;

/// What a pool thread that runs nothing does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Wait to be woken, between [`PoolPlan::fall_asleep`] and [`PoolPlan::wake_up`].
    Sleep,
    /// Take the application's lock, then requests.
    Run,
    /// Watch whether others get on, and [`PoolPlan::look`] after each moment.
    Watch,
    /// Leave.
    End,
}

/// What a watching thread does after a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
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
pub(super) enum Yield {
    /// It goes on.
    No,
    /// It leaves the queue to the searcher.
    ToSearcher,
    /// It leaves the application's lock to those who may want it, and is the searcher itself.
    AndReturn,
}

/// How many threads search at a time where handlers wait.
const SEARCHERS: usize = 4;

/// After so many runs in which nothing waited behind another, requests come one after the other.
const CALM: u32 = 256;

/// So many requests taken by others make a searcher's wait one without need.
const OVERTAKEN: u8 = 2;

/// The search that began last.
#[derive(Clone, Copy, Default)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
struct Search {
    /// Requests taken since; [`OVERTAKEN`] stands for more.
    taken: u8,
    /// Its thread has come from watching.
    from_watch: bool,
}

/// What was seen since the watching thread looked last.
#[derive(Clone, Copy, Default)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
struct SinceLook {
    /// A request was taken.
    taken: bool,
    /// A request was taken while others waited.
    others_waited: bool,
}

/// The queue and the threads' states.
///
/// At most one thread searches at a time: it may wait long for an interpreter's lock, and a second one would only
/// wait behind it, and be woken for nothing if the running thread empties the queue. A thread that takes a request
/// while others wait sends the next searcher. Where handlers *wait* for something of their own, the lock is free most of
/// the time and what a request waits for is a thread that wakes up: then several search at a time.
///
/// Where searchers wait long while the running thread takes one request after the other, a lock is *crowded*. From then
/// on a thread is sent to watch instead: it goes to the lock only if nothing is taken for a moment although requests
/// wait. When it then gets the lock at once, the handlers wait for something else, and searchers are sent again.
///
/// How many threads may be at a [`Job`] for the requests that wait:
///
/// | lock | while a thread runs | while none does |
/// |---|---|---|
/// | [`LockState::Open`] | one searches | one searches |
/// | [`LockState::Crowded`] | one watches, if none searches | one searches |
/// | [`LockState::Yielded`] | [`SEARCHERS`] search, or as many as requests wait | the same |
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct PoolPlan<T> {
    waiting: VecDeque<T>,
    most: usize,
    threads: PoolThreads,
    lock: LockState,
    weight: Weight,
    search: Search,
    seen: SinceLook,
    /// Runs since a request was taken while others waited; no more than [`CALM`].
    single: u32,
    stopping: bool,
}

impl<T> PoolPlan<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            most,
            threads: PoolThreads::default(),
            lock: LockState::Open,
            weight: Weight::default(),
            search: Search::default(),
            seen: SinceLook::default(),
            single: CALM,
            stopping: false,
        }
    }

    /// The pool has this many threads now.
    pub(super) fn add_threads(&mut self, threads: usize) {
        self.threads.add(threads);
    }

    /// Queues a request; answers which sleeping thread must be woken.
    pub(super) fn submit(&mut self, request: T) -> Result<Option<usize>, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        // What a thread without a request takes at once does not wait, be it asleep or on its way there.
        if self.waiting.len() >= self.most.saturating_add(self.threads.idle()) {
            return Err(Refusal::Full);
        }
        self.waiting.push_back(request);
        Ok(self.send())
    }

    /// Whether any of the last requests has waited.
    pub(super) fn has_seen_waits(&self) -> bool {
        self.weight.is_something()
    }

    /// Whether requests wait that no thread is on its way to.
    fn needs_searcher(&self) -> bool {
        let most = if self.lock == LockState::Yielded { SEARCHERS } else { 1 };
        self.threads.searchers() < self.waiting.len().min(most)
    }

    /// What one more thread is needed for: the table of [`PoolPlan`].
    fn needed(&self) -> Option<Job> {
        if !self.needs_searcher() {
            None
        } else if self.lock == LockState::Crowded && self.threads.have_runner() {
            (!self.threads.have_watcher()).then_some(Job::Watch)
        } else {
            Some(Job::Search)
        }
    }

    fn send(&mut self) -> Option<usize> {
        // One request after the other: the last to sleep has its stack and its objects in the processor's caches.
        // Many at a time: the one that needs longest to wake finds more requests when it comes, and is woken for
        // fewer of them.
        let calm = self.single == CALM;
        self.threads.send(self.needed()?, calm)
    }

    fn begin_search(&mut self, transition: Transition) {
        self.threads.pass(transition);
        self.search = Search { taken: 0, from_watch: transition == Transition::WatchNoLonger };
    }

    fn begin_watch(&mut self, transition: Transition) {
        self.threads.pass(transition);
        self.seen.taken = false;
    }

    /// For a thread that runs nothing. Whoever wakes first takes the job up, so a spurious wake-up does no harm. And what
    /// came while this thread gave up the application's lock is its own, when nobody slept who could be woken.
    pub(super) fn next_task(&mut self) -> Task {
        let needed = self.needed();
        if self.threads.has_sent(Job::Search) {
            self.begin_search(Transition::TakeUp(Job::Search));
            Task::Run
        } else if needed == Some(Job::Search) {
            self.begin_search(Transition::Begin(Job::Search));
            Task::Run
        } else if self.threads.has_sent(Job::Watch) {
            self.begin_watch(Transition::TakeUp(Job::Watch));
            Task::Watch
        } else if needed == Some(Job::Watch) {
            self.begin_watch(Transition::Begin(Job::Watch));
            Task::Watch
        } else if self.stopping {
            Task::End
        } else {
            Task::Sleep
        }
    }

    /// A moment has passed for the watching thread.
    pub(super) fn look(&mut self) -> Verdict {
        let seen = std::mem::take(&mut self.seen);
        if self.stopping || (self.waiting.is_empty() && !seen.others_waited) {
            self.threads.pass(Transition::StopWatching);
            return Verdict::Over;
        }
        let nobody_gets_on = !seen.taken || !self.threads.have_runner();
        if !self.needs_searcher() || !nobody_gets_on {
            return Verdict::Again;
        }
        self.begin_search(Transition::WatchNoLonger);
        Verdict::Enter
    }

    pub(super) fn fall_asleep(&mut self, thread: usize) {
        self.threads.fall_asleep(thread);
    }

    /// A thread is awake again, sent or without a reason.
    pub(super) fn wake_up(&mut self, thread: usize) {
        self.threads.wake_up(thread);
    }

    /// The searcher has taken the application's lock, and whether it had to wait long for it.
    pub(super) fn entered(&mut self, waited: bool) {
        self.threads.pass(Transition::Enter);
        if waited && self.search.taken >= OVERTAKEN {
            self.lock = self.lock.after(Sighting::LateSearcher);
        } else if !waited && self.search.from_watch {
            self.lock = self.lock.after(Sighting::FreeLock);
        }
    }

    /// The next request for a running thread, and which other thread must be woken.
    pub(super) fn take(&mut self) -> Option<(T, Option<usize>)> {
        let request = self.waiting.pop_front()?;
        self.threads.pass(Transition::Take);
        self.search.taken = OVERTAKEN.min(self.search.taken + 1);
        self.seen.taken = true;
        let wake = self.send();
        if !self.waiting.is_empty() {
            self.seen.others_waited = true;
            self.single = 0;
        }
        Some((request, wake))
    }

    /// A running thread has done what it took, and whether the handler has waited for something.
    pub(super) fn handled(&mut self, waited: bool) {
        self.threads.pass(Transition::Finish);
        let sighting = self.weight.add(waited);
        self.lock = self.lock.after(sighting);
    }

    /// Whether a running thread gives up the application's lock between two requests although some wait. Under an
    /// interpreter's lock others may wait for it: the searcher, or handlers that have waited for something else and
    /// want to go on. The interpreter would take it away in the end, in the middle of a request, and that
    /// request would wait for as long.
    pub(super) fn yields(&self, held: Held) -> Yield {
        // A handler that waits gives the lock up by itself.
        let gives_up = self.lock == LockState::Yielded;
        let long = held == Held::Long || (held == Held::Perhaps && !gives_up);
        if self.waiting.is_empty() {
            Yield::No
        } else if self.threads.wait_for_lock() && long {
            Yield::ToSearcher
        } else if self.threads.searchers() == 0 && held == Held::Long && self.threads.handle() {
            Yield::AndReturn
        } else {
            Yield::No
        }
    }

    /// A run has ended that served so many requests: because of what [`PoolPlan::yields`] said, or because none waited.
    pub(super) fn left(&mut self, served: usize, yields: Yield) {
        match yields {
            Yield::AndReturn => self.begin_search(Transition::Return),
            Yield::No | Yield::ToSearcher => self.threads.pass(Transition::Leave),
        }
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
        self.threads.alive()
    }

    pub(super) fn thread_ended(&mut self) {
        self.threads.end();
    }
}

#[cfg(test)]
mod tests;
