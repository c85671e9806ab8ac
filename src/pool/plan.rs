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

/// The queue and the threads' states.
///
/// At most one thread searches at a time: it may wait long for an interpreter's lock, and a second one would only
/// wait behind it, and be woken for nothing if the running thread empties the queue. A thread that takes a request
/// while others wait sends the next searcher.
///
/// ```text
/// asleep --submit or take--> sent --awake--> on its way (may nap) --entered--> running --queue empty--> asleep
/// ```
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Plan<T> {
    waiting: VecDeque<T>,
    most: usize,
    alive: usize,
    asleep: usize,
    busy: usize,
    search: Search,
    /// The searcher waits before it asks for the application's lock.
    napping: bool,
    /// The last searcher had to wait for the application's lock.
    contended: bool,
    /// Requests taken so far.
    taken: u64,
    stopping: bool,
}

/// What a searcher does after a nap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nap {
    /// Nobody gets on: ask for the application's lock.
    Enter,
    /// Others get on with the queue: nap again.
    Again,
    /// Nothing is left to search for.
    Over,
}

impl<T> Plan<T> {
    pub(super) fn new(most: usize) -> Self {
        let (waiting, search) = (VecDeque::new(), Search::None);
        Self {
            waiting,
            most,
            alive: 0,
            asleep: 0,
            busy: 0,
            search,
            napping: false,
            contended: false,
            taken: 0,
            stopping: false,
        }
    }

    /// The pool has this many threads now.
    pub(super) fn add_threads(&mut self, threads: usize) {
        self.alive += threads;
    }

    /// Queues a request; answers whether a sleeping thread must be woken.
    pub(super) fn submit(&mut self, request: T) -> Result<bool, Refusal> {
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

    fn send_searcher(&mut self) -> bool {
        let send = self.asleep > 0 && self.search == Search::None && !self.waiting.is_empty();
        if send {
            self.search = Search::Sent;
        }
        send
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

    pub(super) fn fall_asleep(&mut self) {
        self.asleep += 1;
    }

    pub(super) fn wake_up(&mut self) {
        self.asleep -= 1;
    }

    /// Whether the searcher should see first whether others get on without it. Under an interpreter's lock that one
    /// thread holds all the time, a second one that asks for it only makes the first give up in the middle of a
    /// request, which then waits.
    pub(super) fn should_nap(&self) -> bool {
        self.contended && self.busy > 0 && !self.stopping
    }

    /// The searcher naps. It counts as asleep: a request that finds nobody else is its own. Answers a mark for
    /// [`Plan::nap_ends`].
    pub(super) fn nap(&mut self) -> u64 {
        self.napping = true;
        self.asleep += 1;
        self.taken
    }

    pub(super) fn nap_ends(&mut self, mark: u64) -> Nap {
        self.asleep -= 1;
        if !std::mem::take(&mut self.napping) {
            return Nap::Over;
        }
        if self.stopping || self.waiting.is_empty() {
            self.search = Search::None;
            return Nap::Over;
        }
        if self.taken == mark { Nap::Enter } else { Nap::Again }
    }

    /// The searcher has taken the application's lock, and whether it had to wait for it.
    pub(super) fn entered(&mut self, waited: bool) {
        self.search = Search::None;
        self.contended = waited;
    }

    /// The next request for a running thread, and whether another thread must be woken.
    pub(super) fn take(&mut self) -> Option<(T, bool)> {
        let Some(request) = self.waiting.pop_front() else {
            // A napping searcher would be sent for the next request, not for one that is gone.
            if std::mem::take(&mut self.napping) {
                self.search = Search::None;
            }
            return None;
        };
        self.busy += 1;
        self.taken += 1;
        Some((request, self.send_searcher()))
    }

    /// A running thread has done what it took.
    pub(super) fn handled(&mut self) {
        self.busy -= 1;
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
        asleep: usize,
        wakes: usize,
        served: Vec<u32>,
    }

    impl World {
        fn new(threads: usize, most: usize) -> Self {
            let mut plan = Plan::new(most);
            plan.add_threads(threads);
            let mut world = Self { plan, asleep: 0, wakes: 0, served: Vec::new() };
            for _ in 0..threads {
                world.settle();
            }
            world
        }

        /// A thread without work decides.
        fn settle(&mut self) -> Task {
            let task = self.plan.next_run();
            if task == Task::Sleep {
                self.plan.fall_asleep();
                self.asleep += 1;
            }
            task
        }

        fn wake(&mut self) -> Task {
            self.plan.wake_up();
            self.asleep -= 1;
            self.settle()
        }

        fn submit(&mut self, request: u32) -> Result<(), Refusal> {
            self.wakes += usize::from(self.plan.submit(request)?);
            Ok(())
        }

        fn take(&mut self) -> bool {
            match self.plan.take() {
                Some((request, wake)) => {
                    self.served.push(request);
                    self.wakes += usize::from(wake);
                    true
                }
                None => false,
            }
        }
    }

    #[test]
    fn one_thread_is_woken_for_a_burst() {
        let mut world = World::new(8, 100);
        for request in 0..10 {
            world.submit(request).unwrap();
        }
        assert_eq!(world.wakes, 1);
        assert_eq!(world.wake(), Task::Run);
        world.plan.entered(false);
        while world.take() {}
        assert_eq!(world.served, (0..10).collect::<Vec<_>>(), "first come, first served");
        assert_eq!(
            world.wakes, 2,
            "the first take sends one more, which then searches until it has the lock"
        );
        assert_eq!(world.wake(), Task::Run);
        world.plan.entered(false);
        assert!(!world.take());
        assert_eq!(world.settle(), Task::Sleep);
    }

    #[test]
    fn handlers_that_block_let_the_next_thread_in() {
        let mut world = World::new(4, 100);
        for request in 0..4 {
            world.submit(request).unwrap();
        }
        for busy in 1..=4 {
            assert_eq!(world.wake(), Task::Run, "thread {busy}");
            world.plan.entered(false);
            assert!(world.take());
        }
        assert_eq!((world.asleep, world.served.len()), (0, 4));
    }

    #[test]
    fn nothing_is_forgotten_while_a_thread_gives_up_the_lock() {
        let mut world = World::new(1, 10);
        world.submit(1).unwrap();
        assert_eq!(world.wake(), Task::Run);
        world.plan.entered(false);
        assert!(world.take() && !world.take());
        world.submit(2).unwrap();
        assert_eq!(world.wakes, 1, "nobody sleeps");
        assert_eq!(world.settle(), Task::Run);
    }

    /// One thread runs, a request waits, and the thread that searches for it has met a busy lock before.
    fn napping() -> (World, u64) {
        let mut world = World::new(2, 10);
        for request in 0..3 {
            world.submit(request).unwrap();
        }
        assert_eq!(world.wake(), Task::Run);
        assert!(!world.plan.should_nap(), "the first one goes at once");
        world.plan.entered(true);
        assert!(world.take());
        assert_eq!(world.wake(), Task::Run);
        assert!(world.plan.should_nap());
        let mark = world.plan.nap();
        (world, mark)
    }

    #[test]
    fn a_searcher_naps_while_others_get_on() {
        let (mut world, mark) = napping();
        world.plan.handled();
        assert!(world.take());
        assert_eq!(world.plan.nap_ends(mark), Nap::Again);
        let mark = world.plan.nap();
        assert_eq!(world.plan.nap_ends(mark), Nap::Enter, "nobody took anything meanwhile");
        world.plan.entered(false);
        assert!(!world.plan.should_nap(), "the lock was free");
    }

    #[test]
    fn a_nap_ends_with_the_queue_and_the_next_request_wakes_the_napper() {
        let (mut world, mark) = napping();
        for _ in 0..2 {
            world.plan.handled();
            assert!(world.take());
        }
        world.plan.handled();
        assert!(!world.take(), "the runner finds nothing more");
        let wakes = world.wakes;
        world.submit(9).unwrap();
        assert_eq!(world.wakes, wakes + 1, "the napper counts as asleep");
        assert_eq!(world.plan.nap_ends(mark), Nap::Over);
        assert_eq!(world.settle(), Task::Run);
    }

    #[test]
    fn a_napper_ends_with_the_pool() {
        let (mut world, mark) = napping();
        world.plan.stop();
        assert_eq!(world.plan.nap_ends(mark), Nap::Over);
        assert_eq!(world.settle(), Task::End);
    }

    #[test]
    fn a_spurious_wake_up_takes_the_part_once() {
        let mut world = World::new(2, 10);
        world.submit(1).unwrap();
        assert_eq!(world.wake(), Task::Run);
        assert_eq!(world.wake(), Task::Sleep);
    }

    #[test]
    fn the_queue_is_bounded_and_idle_threads_count() {
        let mut world = World::new(1, 2);
        for request in 0..3 {
            world.submit(request).unwrap();
        }
        assert_eq!(world.submit(3), Err(Refusal::Full));
        assert_eq!(world.wake(), Task::Run);
        world.plan.entered(false);
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
        assert_eq!(world.wake(), Task::Run);
        world.plan.entered(false);
        assert!(world.take());
        assert_eq!(world.submit(2), Err(Refusal::Full), "it is busy");
        world.plan.handled();
        assert!(!world.take());
        assert_eq!(world.submit(2), Ok(()), "it gives up the application's lock, and comes back");
        assert_eq!(world.settle(), Task::Run);
    }

    #[test]
    fn a_stopped_plan_gives_back_and_ends() {
        let mut world = World::new(2, 10);
        world.submit(1).unwrap();
        assert_eq!(world.plan.stop(), [1]);
        assert_eq!(world.submit(2), Err(Refusal::Stopping));
        assert_eq!(world.wake(), Task::Run, "the one that was sent looks once more");
        world.plan.entered(false);
        assert!(!world.take());
        assert_eq!(world.settle(), Task::End);
        assert_eq!(world.wake(), Task::End);
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
