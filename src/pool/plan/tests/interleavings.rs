// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every order in which threads, submissions and the end of a pool can meet: the plan is run by a model of
//! `Shared::serve` in which a step is one critical section, and all reachable states are visited.
//!
//! There is no bound on how many requests come, or on how long the pool lives. That the states are few all the same rests on
//! this:
//!
//! - **Threads are alike.** States that differ only in who is who are one: [`World::canonical`] sorts them.
//! - **Many requests are as good as more.** The plan compares how many wait with 0, and with the number of searchers, which
//!   is never more than the threads. So [`MANY`], one more than the threads, stands for all numbers above; a request that
//!   is taken then leaves one fewer, or as many ([`World::take`]).
//! - **Runs need no counting.** How many runs were single decides which sleeping thread is woken and nothing else:
//!   both ends are tried, always.
//! - **The weight needs no counting** beyond whether it says that handlers wait: [`World::handled`] tries what it can
//!   become from the least and the greatest weight that says the same.
//! - **What nobody looks at** counts for nothing: what was taken since a search that is over is overwritten by the next one;
//!   what was seen before a thread began to watch is either ([`World::decide`]).
//! - **A second notice is a wake-up without a reason**, and these may come at any time.
//!
//! Each of them adds orders that cannot be, and takes none away. Three threads are enough for each to be in another
//! part of the plan than two others that meet; that four may search at a time is shown by a test of its own.

use std::collections::HashSet;

use super::{
    super::{
        lock::{HEAVIEST, WAITING},
        threads::{Job, ThreadState},
        *,
    },
    TABLE, passed,
};

/// Where a pool thread is in `Shared::serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    /// About to ask the plan.
    Decides,
    Asleep,
    /// Notified, without the plan's lock yet.
    Woken,
    /// Sleeps for moments, and looks after each.
    Watches,
    /// Waits for the application's lock.
    Enters,
    /// Has the application's lock, and will ask for a request.
    Entered,
    Handles,
    /// In a handler that has given up the application's lock and waits for something of its own, perhaps for ever.
    Blocked,
    Leaves,
    /// Gives up the application's lock, and will ask for it again.
    Returns,
    Ended,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World<const THREADS: usize> {
    plan: PoolPlan<u8>,
    threads: [At; THREADS],
    /// A call of `notify_one` is due for the thread: it is made after the critical section.
    notified: [bool; THREADS],
}

/// What can be seen at the end of a request: how long its thread has had the lock, and whether its handler has waited.
const ENDS: [(Held, bool); 5] = [
    (Held::Briefly, false),
    (Held::Briefly, true),
    (Held::Perhaps, false),
    (Held::Perhaps, true),
    (Held::Long, false),
];

impl<const THREADS: usize> World<THREADS> {
    const MANY: usize = THREADS + 1;

    fn new() -> Self {
        let mut plan = PoolPlan::new(usize::MAX);
        plan.add_threads(THREADS);
        Self { plan, threads: [At::Decides; THREADS], notified: [false; THREADS] }.canonical()
    }

    /// The state that stands for all those which differ in nothing that matters.
    fn canonical(mut self) -> Self {
        self.plan.single = 0;
        self.plan.weight.0 = if self.handlers_wait() { WAITING } else { 0 };
        if !self.plan.threads.wait_for_lock() {
            self.plan.search = Search::default();
        }
        if self.count(ThreadState::Watching) == 0 {
            self.plan.seen = SinceLook::default();
        }
        let asleep = self.plan.threads.sleepers();
        let mut order: [usize; THREADS] = std::array::from_fn(|thread| thread);
        let nth = |thread| asleep.iter().position(|asleep| *asleep == thread);
        order.sort_by_key(|thread| (self.threads[*thread], self.notified[*thread], nth(*thread)));
        for sleeper in asleep {
            *sleeper = order.iter().position(|thread| thread == sleeper).unwrap();
        }
        self.threads = order.map(|thread| self.threads[thread]);
        self.notified = order.map(|thread| self.notified[thread]);
        self
    }

    fn handlers_wait(&self) -> bool {
        self.plan.lock == LockState::Yielded
    }

    fn count(&mut self, state: ThreadState) -> usize {
        self.plan.threads.counted(state).unwrap()
    }

    fn at(&self, place: At) -> usize {
        self.threads.iter().filter(|at| **at == place).count()
    }

    /// Whether somebody has the application's lock.
    fn is_locked(&self) -> bool {
        let holds = [At::Entered, At::Handles, At::Leaves, At::Returns];
        self.threads.iter().any(|place| holds.contains(place))
    }

    fn with(&self, thread: usize, place: At) -> Self {
        let mut next = self.clone();
        next.threads[thread] = place;
        next
    }

    fn notify(&mut self, thread: Option<usize>) {
        if let Some(thread) = thread {
            self.notified[thread] = true;
        }
    }

    fn decide(mut self, thread: usize, all: &mut Vec<Self>) {
        self.threads[thread] = match self.plan.next_task() {
            Task::Sleep => {
                self.plan.fall_asleep(thread);
                At::Asleep
            }
            Task::Run => At::Enters,
            Task::Watch => {
                let mut next = self.with(thread, At::Watches);
                next.plan.seen.others_waited = !next.plan.seen.others_waited;
                all.push(next);
                At::Watches
            }
            Task::End => {
                self.plan.thread_ended();
                At::Ended
            }
        };
        all.push(self);
    }

    /// A thread with the lock asks for a request.
    fn take(mut self, thread: usize, all: &mut Vec<Self>) {
        if self.plan.waiting.len() == Self::MANY {
            let mut more = self.clone();
            more.plan.waiting.push_back(Self::MANY as u8);
            more.take_one(thread);
            all.push(more);
        }
        self.take_one(thread);
        all.push(self);
    }

    fn take_one(&mut self, thread: usize) {
        let Some((request, wake)) = self.plan.take() else { return self.leave(thread, Yield::No) };
        assert_eq!(request, 0, "first come, first served");
        self.plan.waiting.iter_mut().for_each(|request| *request -= 1);
        self.notify(wake);
        self.threads[thread] = At::Handles;
    }

    fn leave(&mut self, thread: usize, yields: Yield) {
        self.plan.left(1, yields);
        self.threads[thread] = if yields == Yield::AndReturn { At::Returns } else { At::Leaves };
    }

    /// A handler ends, in every way that makes a difference.
    fn handled(&self, thread: usize, all: &mut Vec<Self>) {
        let weights = if self.handlers_wait() { [WAITING, HEAVIEST] } else { [0, WAITING - 1] };
        let mut known = Vec::new();
        for ((held, waited), weight) in ENDS.into_iter().flat_map(|end| weights.map(|weight| (end, weight))) {
            let mut next = self.clone();
            next.plan.weight.0 = weight;
            next.plan.handled(waited);
            let (yields, lock) = (next.plan.yields(held), next.plan.lock);
            if known.contains(&(yields, lock)) {
                continue;
            }
            known.push((yields, lock));
            if yields == Yield::No {
                next.take(thread, all);
            } else {
                next.leave(thread, yields);
                all.push(next);
            }
        }
    }

    /// The states that a step of one thread leads to.
    fn step(&self, thread: usize, all: &mut Vec<Self>) {
        let mut next = self.clone();
        match self.threads[thread] {
            At::Decides => return next.decide(thread, all),
            At::Woken => {
                next.plan.wake_up(thread);
                return next.decide(thread, all);
            }
            At::Enters if !self.is_locked() => next.threads[thread] = At::Entered,
            At::Entered => {
                for waited in [false, true] {
                    let mut next = self.clone();
                    next.plan.entered(waited);
                    next.take(thread, all);
                }
                return;
            }
            At::Watches => {
                match next.plan.look() {
                    // Time passes, and nothing else.
                    Verdict::Again if next == *self => return,
                    Verdict::Again => {}
                    Verdict::Enter => next.threads[thread] = At::Enters,
                    Verdict::Over => next.threads[thread] = At::Decides,
                }
            }
            At::Handles => {
                self.handled(thread, all);
                next.threads[thread] = At::Blocked;
            }
            At::Leaves => next.threads[thread] = At::Decides,
            At::Returns => next.threads[thread] = At::Enters,
            At::Asleep | At::Blocked | At::Ended | At::Enters => return,
        }
        all.push(next);
    }

    /// The `notify_one` calls that are due. One that finds its thread awake does nothing.
    fn notices(&self, all: &mut Vec<Self>) {
        for thread in (0..THREADS).filter(|thread| self.notified[*thread]) {
            let asleep = self.threads[thread] == At::Asleep;
            let mut next = if asleep { self.with(thread, At::Woken) } else { self.clone() };
            next.notified[thread] = false;
            all.push(next);
        }
    }

    /// What nobody may rely on: a wake-up without reason, a new request, a handler that goes on, the end.
    fn surprises(&self, all: &mut Vec<Self>) {
        for thread in 0..THREADS {
            match self.threads[thread] {
                At::Asleep => all.push(self.with(thread, At::Woken)),
                At::Blocked if !self.is_locked() => all.push(self.with(thread, At::Handles)),
                _ => {}
            }
        }
        if self.plan.stopping {
            return;
        }
        let waiting = self.plan.waiting.len();
        if waiting < Self::MANY {
            let mut next = self.clone();
            let wake = next.plan.submit(waiting as u8).unwrap();
            next.notify(wake);
            all.push(next);
        }
        let mut next = self.clone();
        next.plan.stop();
        for place in next.threads.iter_mut().filter(|place| **place == At::Asleep) {
            *place = At::Woken;
        }
        all.push(next);
    }

    /// What holds at any time.
    fn check(&mut self) {
        let searching = self.at(At::Enters) + self.at(At::Entered) + self.at(At::Returns);
        assert_eq!(self.count(ThreadState::Searching), searching);
        assert_eq!(self.count(ThreadState::Watching), self.at(At::Watches));
        assert_eq!(self.count(ThreadState::Running), 0, "between two critical sections it has a request");
        assert_eq!(self.count(ThreadState::Handling), self.at(At::Handles) + self.at(At::Blocked));
        assert_eq!(self.plan.alive(), THREADS - self.at(At::Ended));
        let watchers = self.count(ThreadState::Sent(Job::Watch)) + self.count(ThreadState::Watching);
        assert!(watchers <= 1, "{watchers} threads watch: {:?}", self.threads);
    }

    /// What holds of each step.
    fn check_step(&self, next: &Self) {
        let (before, after) = (self.plan.threads.searchers(), next.plan.threads.searchers());
        assert!(
            after <= before.max(1) || (next.handlers_wait() && after <= SEARCHERS),
            "{before}, then {after} threads search: {:?}",
            next.threads
        );
    }

    /// Nothing more happens by itself.
    fn check_rest(&self) {
        assert!(
            self.plan.waiting() == 0 || self.at(At::Asleep) == 0,
            "a request waits and a thread sleeps: {:?}",
            self.threads
        );
        if self.plan.stopping {
            let at_an_end = self.at(At::Ended) + self.at(At::Blocked);
            assert_eq!(at_an_end, THREADS, "a thread does not end: {:?}", self.threads);
        }
    }

    /// Every state that follows at once.
    fn successors(&self, all: &mut Vec<Self>) {
        let mut world = self.clone();
        let choices = if world.count(ThreadState::Asleep) > 1 { 2 } else { 1 };
        for single in [0, CALM].into_iter().take(choices) {
            world.plan.single = single;
            (0..THREADS).for_each(|thread| world.step(thread, all));
            world.notices(all);
        }
        if all.is_empty() {
            self.check_rest();
        }
        for single in [0, CALM].into_iter().take(choices) {
            world.plan.single = single;
            world.surprises(all);
        }
    }
}

/// Visits every reachable state, and answers how many there are.
fn explore<const THREADS: usize>() -> usize {
    let first = World::<THREADS>::new();
    let mut seen = HashSet::from([first.clone()]);
    let (mut open, mut next) = (vec![first], Vec::new());
    while let Some(mut world) = open.pop() {
        world.check();
        world.successors(&mut next);
        for successor in next.drain(..) {
            world.check_step(&successor);
            let successor = successor.canonical();
            if !seen.contains(&successor) {
                seen.insert(successor.clone());
                open.push(successor);
            }
        }
    }
    seen.len()
}

#[test]
#[cfg_attr(miri, ignore = "a search without unsafe code, too long for Miri")]
fn no_request_is_forgotten_and_every_thread_ends_in_any_order() {
    let states = [explore::<1>(), explore::<2>(), explore::<3>()];
    assert!(states.is_sorted() && states[0] > 50, "{states:?} states");
    let passed = passed();
    for transition in TABLE {
        assert!(passed.contains(&transition), "{transition:?} never happens");
    }
}
