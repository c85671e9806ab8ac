// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the plan does when threads wait for the lock without need.

use super::{super::lock::HEAVIEST, *};

/// Thread 1 has had to wait for the lock while thread 0 served two requests, and thread 2 is to be woken.
fn crowded() -> World {
    let mut world = with_requests(4, 20);
    world.enter(0);
    assert!(world.take());
    assert_eq!(world.wake(1), Task::Run);
    world.plan.handled(false);
    for _ in 0..2 {
        assert!(world.handle());
    }
    assert_eq!(world.plan.yields(Held::Long), Yield::ToSearcher);
    world.plan.left(3, Yield::No);
    assert_eq!(world.settle(0), Task::Sleep);
    world.plan.entered(true);
    assert!(world.handle());
    world
}

/// The same, with the woken thread awake.
fn watched() -> (World, usize) {
    let mut world = crowded();
    let Some(&thread) = world.woken.last() else { panic!("nobody was woken") };
    assert_eq!(world.wake(thread), Task::Watch);
    (world, thread)
}

#[test]
fn a_searcher_that_waited_without_need_is_the_last() {
    let (mut world, _) = watched();
    let woken = world.woken.len();
    for _ in 0..5 {
        assert!(world.handle());
        assert_eq!(world.plan.yields(Held::Long), Yield::No, "nobody waits for the lock");
        assert_eq!(world.plan.look(), Verdict::Again, "others get on");
        world.submit(9).unwrap();
    }
    assert_eq!(world.woken.len(), woken, "one thread watches, nobody else is needed");
}

#[test]
fn a_searcher_that_waited_for_one_long_request_was_needed() {
    let mut world = with_requests(4, 20);
    world.enter(0);
    assert!(world.take());
    assert_eq!(world.wake(1), Task::Run);
    world.plan.entered(true);
    assert!(world.take());
    let Some(&thread) = world.woken.last() else { panic!("nobody was woken") };
    assert_eq!(world.wake(thread), Task::Run);
}

#[test]
fn handlers_that_wait_make_no_crowd() {
    let (mut world, thread) = watched();
    assert!(world.take());
    world.plan.handled(true);
    assert_eq!(world.plan.look(), Verdict::Again, "one request says little");
    assert!(world.take());
    world.plan.handled(true);
    assert_eq!(world.plan.look(), Verdict::Again);
    let woken = world.woken.len();
    assert!(world.take());
    assert_eq!(world.woken.len(), woken + 1, "what waits is not left to the running thread any more");
    world.plan.handled(true);
    assert_eq!(world.wake(world.woken[woken]), Task::Run);
    for _ in 0..2 {
        assert!(world.take());
        world.plan.handled(true);
    }
    world.plan.entered(true);
    let reason = "the searcher waited behind threads that came back from their waits";
    assert_eq!(world.plan.lock, LockState::Yielded, "{reason}");
    for _ in 0..usize::from(HEAVIEST) {
        world.plan.threads.pass(Transition::Take);
        world.plan.handled(false);
    }
    assert!(!world.plan.has_seen_waits());
    assert_eq!(world.plan.look(), Verdict::Again, "thread {thread} still watches");
}

#[test]
fn several_threads_search_where_handlers_wait() {
    let mut world = with_requests(8, 0);
    for request in 0..2 {
        world.submit(request).unwrap();
        world.enter(0);
        assert!(world.take());
        world.plan.handled(true);
        world.plan.left(1, Yield::No);
        assert_eq!(world.settle(0), Task::Sleep);
    }
    world.woken.clear();
    for request in 0..6 {
        world.submit(request).unwrap();
    }
    assert_eq!(world.woken.len(), SEARCHERS, "one for each request, as long as they are few");
    let thread = world.woken[0];
    world.enter(thread);
    assert!(world.take());
    assert_eq!(world.woken.len(), SEARCHERS + 1, "another one in the place of the one that has the lock");
    let next = world.woken[1];
    assert_eq!(world.wake(next), Task::Run);
    assert_eq!(world.plan.yields(Held::Perhaps), Yield::No, "its handlers give the lock up by themselves");
    assert_eq!(world.plan.yields(Held::Long), Yield::ToSearcher);
}

#[test]
fn single_requests_that_wait_keep_the_crowd() {
    let (mut world, _) = watched();
    for nth in 0..200 {
        world.submit(9).unwrap();
        assert!(world.take());
        world.plan.handled(nth % 20 == 0);
        assert_eq!(world.plan.lock, LockState::Crowded, "request {nth}");
    }
}

#[test]
fn a_watching_thread_goes_to_the_lock_when_nothing_is_taken() {
    let (mut world, _) = watched();
    assert!(world.take());
    assert_eq!(world.plan.look(), Verdict::Again, "one was taken since the last look");
    assert_eq!(world.plan.look(), Verdict::Enter);
    world.plan.entered(false);
    assert!(world.take());
    let Some(&thread) = world.woken.last() else { panic!("nobody was woken") };
    assert_eq!(world.wake(thread), Task::Run, "the lock was free: handlers wait for something else");
}

#[test]
fn a_watching_thread_that_had_to_wait_for_the_lock_changes_nothing() {
    let (mut world, _) = watched();
    assert_eq!(world.plan.look(), Verdict::Enter, "nothing was taken since it woke");
    assert!(world.handle(), "the other had only been slow");
    assert_eq!(world.plan.yields(Held::Long), Yield::ToSearcher);
    world.plan.left(2, Yield::No);
    world.plan.entered(true);
    assert!(world.take());
    let Some(&thread) = world.woken.last() else { panic!("nobody was woken") };
    assert_eq!(world.wake(thread), Task::Watch);
}

#[test]
fn a_thread_watches_through_an_empty_queue_but_not_when_requests_are_single() {
    let (mut world, thread) = watched();
    while world.handle() {}
    world.plan.left(20, Yield::No);
    assert_eq!(world.settle(1), Task::Sleep);
    assert_eq!(world.plan.look(), Verdict::Again, "others waited a moment ago");
    let woken = world.woken.len();
    world.submit(9).unwrap();
    assert_eq!(world.woken.len(), woken + 1, "no running thread takes it");
    let Some(&next) = world.woken.last() else { panic!("nobody was woken") };
    assert_ne!(next, thread);
    world.enter(next);
    assert!(world.handle());
    assert_eq!(world.plan.look(), Verdict::Over, "nothing waited behind it");
    assert_eq!(world.settle(thread), Task::Sleep);
}

#[test]
fn a_watching_thread_ends_with_the_pool() {
    let (mut world, thread) = watched();
    world.plan.stop();
    assert_eq!(world.plan.look(), Verdict::Over);
    assert_eq!(world.settle(thread), Task::End);
}

#[test]
fn a_spurious_wake_up_takes_the_part_once() {
    let mut world = with_requests(2, 1);
    assert_eq!(world.woken, [0]);
    assert_eq!(world.wake(1), Task::Run, "it comes before the one that was sent");
    assert_eq!(world.wake(0), Task::Sleep);
    world.plan.entered(false);
    assert!(world.handle() && !world.take());
    world.plan.left(1, Yield::No);
    assert_eq!(world.settle(1), Task::Sleep);
    world.submit(1).unwrap();
    world.submit(2).unwrap();
    world.enter(1);
    assert!(world.take());
    assert_eq!(world.woken, [0, 1, 0], "nobody is in the list of sleepers twice");
}
