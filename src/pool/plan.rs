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

/// Threads between sleep and their first request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
struct Searchers {
    /// Sleeping threads that have been woken.
    sent: usize,
    /// Those that are awake and wait for the application's lock.
    on_their_way: usize,
}

impl Searchers {
    fn count(self) -> usize {
        self.sent + self.on_their_way
    }
}

/// After so many runs in which nothing waited behind another, requests come one after the other.
const CALM: u32 = 256;

/// What a request that has waited for something adds to the weight of such requests; any other takes 1 away.
const WAITED: u8 = 2;
/// From this weight on handlers are taken to wait for something. Two in a row are enough; one in three never adds up to
/// it, and a busy machine delays fewer than that.
const WAITING: u8 = 3;
/// The weight is never more, so that handlers that wait no longer are noticed after a few requests.
const HEAVIEST: u8 = 2 * WAITED;
/// How many threads search at a time where handlers wait.
const SEARCHERS: usize = 4;

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
pub(super) enum Yield {
    /// It goes on.
    No,
    /// It leaves the queue to the searcher.
    ToSearcher,
    /// It leaves the application's lock to those who may want it, and is the searcher itself.
    AndReturn,
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
/// Where handlers wait the lock is never crowded, whatever a searcher met: the running threads take requests one after
/// the other there too, as they come back from their waits, and a watching thread would see them get on although
/// a request could have been served at once.
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
    searchers: Searchers,
    watch: Watch,
    /// Threads between [`Plan::entered`] and [`Plan::left`].
    running: usize,
    crowded: bool,
    /// The weight of requests that have waited for something; at most [`HEAVIEST`].
    waits: u8,
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
            searchers: Searchers::default(),
            watch: Watch::None,
            running: 0,
            crowded: false,
            waits: 0,
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

    /// Whether handlers wait for something of their own, as far as the last requests tell.
    fn handlers_wait(&self) -> bool {
        self.waits >= WAITING
    }

    /// Whether any of the last requests has waited.
    pub(super) fn has_seen_waits(&self) -> bool {
        self.waits > 0
    }

    /// Whether requests wait that no thread is on its way to.
    fn needs_searcher(&self) -> bool {
        let most =
            if self.handlers_wait() { self.waiting.len().min(SEARCHERS) } else { self.waiting.len().min(1) };
        self.searchers.count() < most
    }

    fn send(&mut self) -> Option<usize> {
        let watches = self.leaves_it_to_runner();
        if !self.needs_searcher() || (watches && self.watch != Watch::None) {
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
            self.searchers.sent += 1;
        }
        Some(thread)
    }

    fn begin_search(&mut self, from_watch: bool) {
        self.searchers.on_their_way += 1;
        self.taken_at_search = self.taken;
        self.from_watch = from_watch;
    }

    /// For a thread that runs nothing. Whoever wakes first takes a part, so a spurious wake-up does no harm. And what
    /// came while this thread gave up the application's lock is its own, when nobody slept who could be woken.
    pub(super) fn next_run(&mut self) -> Task {
        let sent = self.searchers.sent > 0;
        if sent || (self.needs_searcher() && !self.leaves_it_to_runner()) {
            self.searchers.sent -= usize::from(sent);
            self.begin_search(false);
            return Task::Run;
        }
        if self.watch == Watch::Sent || (self.needs_searcher() && self.watch == Watch::None) {
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
        if !self.needs_searcher() || !needed {
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
        self.searchers.on_their_way -= 1;
        self.running += 1;
        if waited && self.taken - self.taken_at_search >= 2 && !self.handlers_wait() {
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

    /// A running thread has done what it took, and whether the handler has waited for something.
    pub(super) fn handled(&mut self, waited: bool) {
        self.busy -= 1;
        self.waits = if waited { HEAVIEST.min(self.waits + WAITED) } else { self.waits.saturating_sub(1) };
        if self.handlers_wait() {
            self.crowded = false;
        }
    }

    /// Whether a running thread gives up the application's lock between two requests although some wait. Under an
    /// interpreter's lock others may wait for it: the searcher, or handlers that have waited for something else and
    /// want to go on. The interpreter would take it away in the end, in the middle of a request, and that
    /// request would wait for as long.
    pub(super) fn yields(&mut self, held: Held) -> Yield {
        // A handler that waits gives the lock up by itself.
        let long = held == Held::Long || (held == Held::Perhaps && !self.handlers_wait());
        if self.waiting.is_empty() {
            Yield::No
        } else if self.searchers.on_their_way > 0 && long {
            Yield::ToSearcher
        } else if self.searchers.count() == 0 && held == Held::Long && self.busy > 0 {
            self.begin_search(false);
            Yield::AndReturn
        } else {
            Yield::No
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
