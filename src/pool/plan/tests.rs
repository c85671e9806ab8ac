// SPDX-License-Identifier: MIT OR Apache-2.0
//! One rule of the plan at a time; those of a crowded lock are in [`crowd`], and all of them in every order in
//! [`orders`].

mod crowd;
mod interleavings;

use std::{cell::RefCell, collections::HashSet};

use super::*;

thread_local! {
    static PASSED: RefCell<HashSet<Transition>> = RefCell::default();
}

/// A thread of a plan has passed from one state to another.
pub(super) fn note(transition: Transition) {
    PASSED.with_borrow_mut(|passed| passed.insert(transition));
}

/// The transitions of this test so far.
fn passed() -> HashSet<Transition> {
    PASSED.with_borrow(Clone::clone)
}

/// Every row of the table of transitions.
const TABLE: [Transition; 15] = [
    Transition::FallAsleep,
    Transition::Rouse,
    Transition::Send(Job::Search),
    Transition::Send(Job::Watch),
    Transition::TakeUp(Job::Search),
    Transition::TakeUp(Job::Watch),
    Transition::Begin(Job::Search),
    Transition::Begin(Job::Watch),
    Transition::WatchNoLonger,
    Transition::StopWatching,
    Transition::Enter,
    Transition::Take,
    Transition::Finish,
    Transition::Leave,
    Transition::Return,
];

/// A pool whose threads do what the plan says, one step at a time.
struct World {
    plan: PoolPlan<u32>,
    /// Whom the plan has had woken, in order.
    woken: Vec<usize>,
    served: Vec<u32>,
}

impl World {
    /// Thread 0 is the last to fall asleep.
    fn new(threads: usize, most: usize) -> Self {
        let mut plan = PoolPlan::new(most);
        plan.add_threads(threads);
        let mut world = Self { plan, woken: Vec::new(), served: Vec::new() };
        for thread in (0..threads).rev() {
            assert_eq!(world.settle(thread), Task::Sleep);
        }
        world
    }

    /// A thread without work decides.
    fn settle(&mut self, thread: usize) -> Task {
        let task = self.plan.next_task();
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
        self.plan.entered(false);
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
            self.plan.handled(false);
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
    world.plan.left(0, Yield::No);
    assert_eq!(world.settle(1), Task::Sleep);
}

#[test]
fn handlers_that_block_let_the_next_thread_in() {
    let mut world = with_requests(4, 4);
    for nth in 0..4 {
        assert_eq!(world.woken.len(), nth + 1);
        let Some(&thread) = world.woken.last() else { panic!("nobody was woken") };
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
    world.plan.left(world.served.len() - before, Yield::No);
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
fn a_request_that_comes_at_the_end_of_a_run_is_single_too() {
    let mut world = World::new(3, 10);
    for request in 0..5 {
        world.submit(2 * request).unwrap();
        world.enter(0);
        assert!(world.handle());
        world.submit(2 * request + 1).unwrap();
        while world.handle() {}
        world.plan.left(2, Yield::No);
        let woken = world.woken.split_off(0);
        assert_eq!(woken, [0, 1], "the second one sends a searcher, which finds nothing");
        world.enter(1);
        assert!(!world.take());
        world.plan.left(0, Yield::No);
        assert_eq!((world.settle(1), world.settle(0)), (Task::Sleep, Task::Sleep));
    }
}

#[test]
fn requests_at_a_time_wake_the_first_to_fall_asleep_until_they_are_single_again() {
    let mut world = with_requests(3, 2);
    world.enter(0);
    while world.handle() {}
    world.enter(1);
    world.plan.left(2, Yield::No);
    assert!(!world.take());
    world.plan.left(0, Yield::No);
    assert_eq!((world.settle(1), world.settle(0)), (Task::Sleep, Task::Sleep));
    // The run of thread 0 was the first.
    for request in 1..CALM {
        world.submit(request).unwrap();
        run_one(&mut world);
    }
    let turns: Vec<_> = [2, 1, 0].into_iter().cycle().take(CALM as usize - 1).collect();
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
    world.plan.left(1, Yield::No);
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
    assert_eq!(world.plan.yields(Held::Long), Yield::No, "the other is not awake yet");
    assert_eq!(world.wake(1), Task::Run);
    assert_eq!(world.plan.yields(Held::Briefly), Yield::No);
    assert_eq!(world.plan.yields(Held::Perhaps), Yield::ToSearcher);
    assert_eq!(world.plan.yields(Held::Long), Yield::ToSearcher);
    world.plan.left(1, Yield::No);
    assert_eq!(world.settle(0), Task::Sleep, "the searcher takes over");
    world.plan.entered(false);
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
    assert_eq!(world.plan.yields(Held::Briefly), Yield::No);
    assert_eq!(world.plan.yields(Held::Perhaps), Yield::No, "it may have been without the lock itself");
    assert_eq!(world.plan.yields(Held::Long), Yield::AndReturn, "and nobody else searches");
    world.plan.left(1, Yield::AndReturn);
    world.plan.handled(false);
    let reason = "the handler that went on leaves the queue to the one that comes back";
    assert_eq!(world.plan.yields(Held::Perhaps), Yield::ToSearcher, "{reason}");
    world.plan.left(1, Yield::ToSearcher);
    assert_eq!(world.settle(0), Task::Sleep);
    world.plan.entered(false);
    assert!(world.take());
}

#[test]
fn a_thread_keeps_the_lock_if_nobody_can_want_it() {
    let mut world = with_requests(1, 9);
    world.enter(0);
    assert!(world.handle());
    assert_eq!(world.plan.yields(Held::Long), Yield::No, "nobody else runs or searches");
    let mut world = with_requests(3, 2);
    world.enter(0);
    assert!(world.take());
    assert_eq!(world.wake(1), Task::Run);
    assert!(world.plan.withdraw(|_| true));
    world.plan.handled(false);
    assert_eq!(world.plan.yields(Held::Long), Yield::No, "nothing waits: it leaves anyway");
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
    world.plan.handled(false);
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
    world.plan.handled(false);
    assert!(!world.take());
    world.plan.left(1, Yield::No);
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
    world.plan.entered(false);
    assert!(!world.take());
    world.plan.left(0, Yield::No);
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
