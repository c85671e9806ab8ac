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

/// After so many runs of one request each the requests come one after the other.
const CALM: u32 = 32;

/// How long a running thread has had the application's lock, as far as a clock can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Briefly,
    /// For long, unless its handler waited for something meanwhile and gave the lock up.
    Perhaps,
    /// For long, with one short request after the other.
    Long,
}

/// The queue and the threads' states.
///
/// At most one thread searches at a time: it may wait long for an interpreter's lock, and a second one would only
/// wait behind it, and be woken for nothing if the running thread empties the queue. A thread that takes a request
/// while others wait sends the next searcher.
///
/// ```text
/// asleep --submit or take--> sent --awake--> on its way --entered--> running --queue empty, or gives way--> asleep
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
    /// Runs that found one request each, in a row; no more than [`CALM`].
    single: u32,
    stopping: bool,
}

impl<T> Plan<T> {
    pub(super) fn new(most: usize) -> Self {
        let (waiting, asleep, search) = (VecDeque::new(), VecDeque::new(), Search::None);
        Self { waiting, most, alive: 0, asleep, busy: 0, search, single: CALM, stopping: false }
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
        Ok(self.send_searcher())
    }

    fn send_searcher(&mut self) -> Option<usize> {
        if self.search != Search::None || self.waiting.is_empty() {
            return None;
        }
        // One request after the other: the last to sleep has its stack and its objects in the processor's caches.
        // Many at a time: the one that needs longest to wake finds more requests when it comes, and is woken for
        // fewer of them.
        let calm = self.single == CALM;
        let thread = if calm { self.asleep.pop_back() } else { self.asleep.pop_front() }?;
        self.search = Search::Sent;
        Some(thread)
    }

    /// For a thread that runs nothing.
    pub(super) fn next_run(&mut self) -> Task {
        match self.search {
            // Whoever wakes first takes the part, so a spurious wake-up does no harm.
            Search::Sent => {
                self.search = Search::OnItsWay;
                Task::Run
            }
            // Came while this thread gave up the application's lock, when nobody slept who could be woken.
            Search::None if !self.waiting.is_empty() => {
                self.search = Search::OnItsWay;
                Task::Run
            }
            Search::None | Search::OnItsWay if self.stopping => Task::End,
            Search::None | Search::OnItsWay => Task::Sleep,
        }
    }

    pub(super) fn fall_asleep(&mut self, thread: usize) {
        self.asleep.push_back(thread);
    }

    /// A thread is awake again, sent or without a reason.
    pub(super) fn wake_up(&mut self, thread: usize) {
        self.asleep.retain(|asleep| *asleep != thread);
    }

    /// The searcher has taken the application's lock.
    pub(super) fn entered(&mut self) {
        self.search = Search::None;
    }

    /// The next request for a running thread, and which other thread must be woken.
    pub(super) fn take(&mut self) -> Option<(T, Option<usize>)> {
        let request = self.waiting.pop_front()?;
        self.busy += 1;
        Some((request, self.send_searcher()))
    }

    /// A running thread has done what it took.
    pub(super) fn handled(&mut self) {
        self.busy -= 1;
    }

    /// Whether a running thread gives up the application's lock between two requests although some wait. Under an
    /// interpreter's lock others may wait for it: the searcher, or handlers that have waited for something else and
    /// want to go on. The interpreter would take it away in the end, in the middle of a request, and that
    /// request would wait for as long.
    pub(super) fn gives_way(&self, held: Held) -> bool {
        let others = match held {
            Held::Briefly => false,
            Held::Perhaps => self.search == Search::OnItsWay,
            Held::Long => self.search == Search::OnItsWay || self.busy > 0,
        };
        others && !self.waiting.is_empty()
    }

    /// A run has ended that served so many requests.
    pub(super) fn left(&mut self, served: usize) {
        match served {
            // Came for what somebody else took.
            0 => {}
            1 => self.single = CALM.min(self.single + 1),
            _ => self.single = 0,
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
mod tests {
    use super::*;

    /// A pool whose threads do what the plan says, one step at a time.
    struct World {
        plan: Plan<u32>,
        /// Whom the plan has had woken, in order.
        woken: Vec<usize>,
        served: Vec<u32>,
    }

    impl World {
        /// Thread 0 is the last to fall asleep.
        fn new(threads: usize, most: usize) -> Self {
            let mut plan = Plan::new(most);
            plan.add_threads(threads);
            let mut world = Self { plan, woken: Vec::new(), served: Vec::new() };
            for thread in (0..threads).rev() {
                assert_eq!(world.settle(thread), Task::Sleep);
            }
            world
        }

        /// A thread without work decides.
        fn settle(&mut self, thread: usize) -> Task {
            let task = self.plan.next_run();
            if task == Task::Sleep {
                self.plan.fall_asleep(thread);
            }
            task
        }

        fn wake(&mut self, thread: usize) -> Task {
            self.plan.wake_up(thread);
            self.settle(thread)
        }

        /// A thread that was woken gets the application's lock.
        fn enter(&mut self, thread: usize) {
            assert_eq!(self.wake(thread), Task::Run);
            self.plan.entered();
        }

        fn submit(&mut self, request: u32) -> Result<(), Refusal> {
            let wake = self.plan.submit(request)?;
            self.woken.extend(wake);
            Ok(())
        }

        fn take(&mut self) -> bool {
            let Some((request, wake)) = self.plan.take() else { return false };
            self.served.push(request);
            self.woken.extend(wake);
            true
        }

        fn handle(&mut self) -> bool {
            let taken = self.take();
            if taken {
                self.plan.handled();
            }
            taken
        }
    }

    fn with_requests(threads: usize, requests: u32) -> World {
        let mut world = World::new(threads, 100);
        for request in 0..requests {
            world.submit(request).unwrap();
        }
        world
    }

    #[test]
    fn one_thread_is_woken_for_a_burst() {
        let mut world = with_requests(8, 10);
        assert_eq!(world.woken, [0]);
        world.enter(0);
        while world.handle() {}
        assert_eq!(world.served, (0..10).collect::<Vec<_>>(), "first come, first served");
        let reason = "the first take sends one more, which then searches until it has the lock";
        assert_eq!(world.woken, [0, 1], "{reason}");
        world.enter(1);
        assert!(!world.take());
        assert_eq!(world.settle(1), Task::Sleep);
    }

    #[test]
    fn handlers_that_block_let_the_next_thread_in() {
        let mut world = with_requests(4, 4);
        for thread in 0..4 {
            assert_eq!(world.woken.last(), Some(&thread));
            world.enter(thread);
            assert!(world.take());
        }
        assert_eq!(world.served.len(), 4);
    }

    /// Serves what waits on the thread that was woken last, and lets it fall asleep.
    fn run_one(world: &mut World) {
        let Some(&thread) = world.woken.last() else { panic!("nobody was woken") };
        world.enter(thread);
        let before = world.served.len();
        while world.handle() {}
        world.plan.left(world.served.len() - before);
        assert_eq!(world.settle(thread), Task::Sleep);
    }

    #[test]
    fn single_requests_wake_the_last_to_fall_asleep() {
        let mut world = World::new(3, 10);
        for request in 0..5 {
            world.submit(request).unwrap();
            run_one(&mut world);
        }
        assert_eq!(world.woken, [0; 5]);
    }

    #[test]
    fn requests_at_a_time_wake_the_first_to_fall_asleep_until_they_are_single_again() {
        let mut world = with_requests(3, 2);
        world.enter(0);
        while world.handle() {}
        world.plan.left(2);
        world.enter(1);
        assert!(!world.take());
        world.plan.left(0);
        assert_eq!((world.settle(1), world.settle(0)), (Task::Sleep, Task::Sleep));
        for request in 0..CALM {
            world.submit(request).unwrap();
            run_one(&mut world);
        }
        let turns: Vec<_> = [2, 1, 0].into_iter().cycle().take(CALM as usize).collect();
        assert_eq!(world.woken[2..], turns);
        let last = turns.last().copied();
        world.submit(0).unwrap();
        assert_eq!(world.woken.last().copied(), last);
    }

    #[test]
    fn nothing_is_forgotten_while_a_thread_gives_up_the_lock() {
        let mut world = with_requests(1, 1);
        world.enter(0);
        assert!(world.handle() && !world.take());
        world.submit(2).unwrap();
        assert_eq!(world.woken, [0], "nobody sleeps");
        assert_eq!(world.settle(0), Task::Run);
    }

    #[test]
    fn a_thread_gives_way_to_a_searcher_that_waits_for_the_lock() {
        let mut world = with_requests(2, 9);
        world.enter(0);
        assert!(world.handle());
        assert_eq!(world.woken, [0, 1]);
        assert!(!world.plan.gives_way(Held::Long), "the other is not awake yet");
        assert_eq!(world.wake(1), Task::Run);
        assert!(!world.plan.gives_way(Held::Briefly));
        assert!(world.plan.gives_way(Held::Perhaps) && world.plan.gives_way(Held::Long));
        assert_eq!(world.settle(0), Task::Sleep, "the searcher takes over");
        world.plan.entered();
        assert!(world.take());
        assert_eq!(world.woken, [0, 1, 0], "and sends the one that gave way as the next");
    }

    #[test]
    fn a_thread_gives_way_to_handlers_that_may_wait_for_the_lock() {
        let mut world = with_requests(2, 9);
        world.enter(0);
        assert!(world.take());
        world.enter(1);
        assert!(world.handle());
        assert!(!world.plan.gives_way(Held::Briefly));
        assert!(!world.plan.gives_way(Held::Perhaps), "it may have been without the lock itself");
        assert!(world.plan.gives_way(Held::Long));
        assert_eq!(world.settle(1), Task::Run, "nobody else is left to search");
        world.plan.handled();
        assert!(
            world.plan.gives_way(Held::Perhaps),
            "the handler that went on leaves the queue to the searcher"
        );
    }

    #[test]
    fn a_thread_keeps_the_lock_if_nobody_can_want_it() {
        let mut world = with_requests(1, 9);
        world.enter(0);
        assert!(world.handle());
        assert!(!world.plan.gives_way(Held::Long), "nobody else runs or searches");
        let mut world = with_requests(3, 2);
        world.enter(0);
        assert!(world.take());
        assert_eq!(world.wake(1), Task::Run);
        assert!(world.plan.withdraw(|_| true));
        world.plan.handled();
        assert!(!world.plan.gives_way(Held::Long), "nothing waits: it leaves anyway");
    }

    #[test]
    fn a_spurious_wake_up_takes_the_part_once() {
        let mut world = with_requests(2, 1);
        assert_eq!(world.woken, [0]);
        assert_eq!(world.wake(1), Task::Run, "it comes before the one that was sent");
        assert_eq!(world.wake(0), Task::Sleep);
        world.plan.entered();
        assert!(world.handle() && !world.take());
        assert_eq!(world.settle(1), Task::Sleep);
        world.submit(1).unwrap();
        world.submit(2).unwrap();
        world.enter(1);
        assert!(world.take());
        assert_eq!(world.woken, [0, 1, 0], "nobody is in the list of sleepers twice");
    }

    #[test]
    fn the_queue_is_bounded_and_idle_threads_count() {
        let mut world = World::new(1, 2);
        for request in 0..3 {
            world.submit(request).unwrap();
        }
        assert_eq!(world.submit(3), Err(Refusal::Full));
        world.enter(0);
        world.take();
        assert_eq!(world.plan.waiting(), 2);
        assert_eq!(world.submit(3), Err(Refusal::Full));
        world.plan.handled();
        assert_eq!(world.submit(3), Ok(()), "the thread takes the next at once");
        world.take();
        assert_eq!(world.plan.waiting(), 2);
    }

    #[test]
    fn a_thread_between_two_runs_has_room_without_a_queue() {
        let mut world = World::new(1, 0);
        world.submit(1).unwrap();
        world.enter(0);
        assert!(world.take());
        assert_eq!(world.submit(2), Err(Refusal::Full), "it is busy");
        world.plan.handled();
        assert!(!world.take());
        assert_eq!(world.submit(2), Ok(()), "it gives up the application's lock, and comes back");
        assert_eq!(world.settle(0), Task::Run);
    }

    #[test]
    fn a_stopped_plan_gives_back_and_ends() {
        let mut world = World::new(2, 10);
        world.submit(1).unwrap();
        assert_eq!(world.plan.stop(), [1]);
        assert_eq!(world.submit(2), Err(Refusal::Stopping));
        assert_eq!(world.wake(0), Task::Run, "the one that was sent looks once more");
        world.plan.entered();
        assert!(!world.take());
        assert_eq!(world.settle(0), Task::End);
        assert_eq!(world.wake(1), Task::End);
    }

    #[test]
    fn a_waiting_request_can_be_withdrawn() {
        let mut world = World::new(0, 10);
        world.submit(1).unwrap();
        world.submit(2).unwrap();
        assert!(world.plan.withdraw(|request| *request == 1));
        assert!(!world.plan.withdraw(|request| *request == 1));
        assert_eq!(world.plan.clear(), [2]);
    }
}
