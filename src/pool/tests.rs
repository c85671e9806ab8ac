// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every order in which threads, submissions and the end of a pool can meet, for small pools: the plan is run by a
//! model of `Pool::serve` in which a step is one critical section, and all reachable states are visited.

use std::collections::HashSet;

use super::plan::{Held, Look, Plan, Task, Yield};

/// Where a pool thread is in `Shared::serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
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
    /// In a handler that has given up the application's lock and waits for something of its own.
    Blocked,
    Leaves,
    /// Gives up the application's lock, and will ask for it again.
    Returns,
    Ended,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    plan: Plan<u8>,
    threads: Vec<Place>,
    /// Who has the application's lock.
    holder: Option<usize>,
    /// Calls of `notify_one` that are due for each thread: they are made after the critical section.
    notices: Vec<usize>,
    /// Requests of the run of each thread; 2 stands for more.
    served: Vec<usize>,
    submitted: u8,
    taken: u8,
    /// Requests that have waited for something; 2 stands for more.
    waited: u8,
    stopped: bool,
}

/// What may happen in an exploration.
#[derive(Clone, Copy, Debug)]
struct Rules {
    threads: usize,
    requests: u8,
    stops: bool,
    /// Handlers may wait for ever, without the application's lock.
    blocks: bool,
    /// Threads are sent to watch from the beginning.
    crowded: bool,
}

/// What a clock can tell at the end of a request.
const ENDS: [(Held, bool); 3] = [(Held::Briefly, false), (Held::Perhaps, true), (Held::Long, false)];

impl World {
    fn new(rules: Rules) -> Self {
        let mut plan = Plan::new(usize::from(rules.requests));
        plan.add_threads(rules.threads);
        if rules.crowded {
            plan.crowd();
        }
        let threads = vec![Place::Decides; rules.threads];
        let (notices, served) = (vec![0; rules.threads], vec![0; rules.threads]);
        Self {
            plan,
            threads,
            holder: None,
            notices,
            served,
            submitted: 0,
            taken: 0,
            waited: 0,
            stopped: false,
        }
    }

    fn decide(&mut self, thread: usize) {
        self.threads[thread] = match self.plan.next_run() {
            Task::Sleep => {
                self.plan.fall_asleep(thread);
                Place::Asleep
            }
            Task::Run => Place::Enters,
            Task::Watch => Place::Watches,
            Task::End => {
                self.plan.thread_ended();
                Place::Ended
            }
        };
    }

    fn take(&mut self, thread: usize) {
        self.threads[thread] = match self.plan.take() {
            Some((request, wake)) => {
                assert_eq!(request, self.taken, "first come, first served");
                self.taken += 1;
                self.notify(wake);
                self.served[thread] = 2.min(self.served[thread] + 1);
                Place::Handles
            }
            None => {
                self.plan.left(self.served[thread]);
                Place::Leaves
            }
        };
    }

    fn notify(&mut self, thread: Option<usize>) {
        if let Some(thread) = thread {
            self.notices[thread] += 1;
        }
    }

    /// A thread has the lock, perhaps after a long time.
    fn entered(&self, thread: usize, waited: bool) -> Self {
        let mut next = self.clone();
        next.plan.entered(waited);
        next.served[thread] = 0;
        next.take(thread);
        next
    }

    /// A handler of a thread ends, which has had the lock for some time, and has perhaps waited for something itself.
    fn handled(&self, thread: usize, (held, waited): (Held, bool)) -> Self {
        let mut next = self.clone();
        next.plan.handled(waited);
        next.waited = 2.min(next.waited + u8::from(waited));
        match next.plan.yields(held) {
            Yield::No => next.take(thread),
            yields => {
                next.plan.left(next.served[thread]);
                next.threads[thread] =
                    if yields == Yield::ToSearcher { Place::Leaves } else { Place::Returns };
            }
        }
        next
    }

    /// The states that a step of one thread leads to.
    fn step(&self, thread: usize, rules: Rules) -> Vec<Self> {
        let mut next = self.clone();
        match self.threads[thread] {
            Place::Decides => next.decide(thread),
            Place::Woken => {
                next.plan.wake_up(thread);
                next.decide(thread);
            }
            Place::Enters if self.holder.is_none() => {
                next.holder = Some(thread);
                next.threads[thread] = Place::Entered;
            }
            Place::Entered => {
                return [false, true].map(|waited| self.entered(thread, waited)).into();
            }
            Place::Watches => {
                match next.plan.look() {
                    Look::Again => {}
                    Look::Enter => next.threads[thread] = Place::Enters,
                    Look::Over => next.threads[thread] = Place::Decides,
                }
                // Time passes, and nothing else.
                return if next == *self { Vec::new() } else { vec![next] };
            }
            Place::Handles => {
                let mut all: Vec<_> = ENDS.map(|end| self.handled(thread, end)).into();
                if rules.blocks {
                    next.holder = None;
                    next.threads[thread] = Place::Blocked;
                    all.push(next);
                }
                return all;
            }
            Place::Leaves | Place::Returns => {
                next.holder = None;
                let returns = self.threads[thread] == Place::Returns;
                next.threads[thread] = if returns { Place::Enters } else { Place::Decides };
            }
            Place::Asleep | Place::Blocked | Place::Ended | Place::Enters => return Vec::new(),
        }
        vec![next]
    }

    /// The `notify_one` calls that are due. One that finds its thread awake does nothing.
    fn notices(&self) -> impl Iterator<Item = Self> {
        let due = (0..self.threads.len()).filter(|thread| self.notices[*thread] > 0);
        due.map(|thread| {
            let asleep = self.threads[thread] == Place::Asleep;
            let mut next = if asleep { self.with(thread, Place::Woken) } else { self.clone() };
            next.notices[thread] -= 1;
            next
        })
    }

    /// What nobody may rely on: a wake-up without reason, a new request, a handler that goes on, the end.
    fn surprises(&self, rules: Rules) -> Vec<Self> {
        let mut all: Vec<_> = self.asleep().map(|thread| self.with(thread, Place::Woken)).collect();
        if self.submitted < rules.requests && !self.stopped {
            let mut next = self.clone();
            let wake = next.plan.submit(self.submitted).unwrap();
            next.submitted += 1;
            next.notify(wake);
            all.push(next);
        }
        for thread in 0..self.threads.len() {
            if self.threads[thread] == Place::Blocked && self.holder.is_none() {
                let mut next = self.with(thread, Place::Handles);
                next.holder = Some(thread);
                all.push(next);
            }
        }
        if rules.stops && !self.stopped {
            let mut next = self.clone();
            next.stopped = true;
            next.plan.stop();
            for thread in self.asleep() {
                next.threads[thread] = Place::Woken;
            }
            all.push(next);
        }
        all
    }

    fn asleep(&self) -> impl Iterator<Item = usize> {
        (0..self.threads.len()).filter(|thread| self.threads[*thread] == Place::Asleep)
    }

    fn with(&self, thread: usize, place: Place) -> Self {
        let mut next = self.clone();
        next.threads[thread] = place;
        next
    }

    fn check(&self) {
        let searching = self.threads.iter().filter(|place| **place == Place::Enters).count();
        let most = if self.waited >= 2 { self.threads.len() } else { 1 };
        assert!(searching <= most, "{searching} threads wait for the lock: {:?}", self.threads);
    }

    /// Nothing more happens by itself.
    fn check_rest(&self) {
        assert!(
            self.plan.waiting() == 0 || self.asleep().next().is_none(),
            "a request waits and a thread sleeps: {:?}",
            self.threads
        );
        if self.stopped {
            let at_an_end = |place: &Place| matches!(place, Place::Ended | Place::Blocked);
            assert!(self.threads.iter().all(at_an_end), "a thread does not end: {:?}", self.threads);
        }
    }
}

/// Visits every reachable state, and answers how many there are.
fn explore(rules: Rules) -> usize {
    let first = World::new(rules);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        world.check();
        let mut next: Vec<_> = (0..world.threads.len())
            .flat_map(|thread| world.step(thread, rules))
            .chain(world.notices())
            .collect();
        if next.is_empty() {
            world.check_rest();
        }
        next.extend(world.surprises(rules));
        open.extend(next.into_iter().filter(|world| seen.insert(world.clone())));
    }
    seen.len()
}

/// From both beginnings: fewer requests do not get from one to the other.
fn explore_both(rules: Rules) {
    for crowded in [false, true] {
        let states = explore(Rules { crowded, ..rules });
        assert!(states > 50, "{states} states of {rules:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "a search without unsafe code, too long for Miri")]
fn no_request_is_forgotten_in_any_order() {
    for (threads, requests) in [(1, 4), (2, 3), (3, 2)] {
        explore_both(Rules { threads, requests, stops: false, blocks: false, crowded: false });
    }
}

#[test]
#[cfg_attr(miri, ignore = "a search without unsafe code, too long for Miri")]
fn no_thread_sleeps_while_a_request_waits_for_handlers_that_block() {
    for (threads, requests) in [(1, 4), (2, 3), (3, 2)] {
        explore_both(Rules { threads, requests, stops: false, blocks: true, crowded: false });
    }
}

#[test]
#[cfg_attr(miri, ignore = "a search without unsafe code, too long for Miri")]
fn every_thread_ends_whenever_the_pool_is_stopped() {
    for (threads, requests) in [(1, 3), (2, 2), (3, 2)] {
        explore_both(Rules { threads, requests, stops: true, blocks: true, crowded: false });
    }
}
