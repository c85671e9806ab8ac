// SPDX-License-Identifier: MIT OR Apache-2.0
//! CommandQueue of events, all of them up to a depth, in a small world of processes that may do anything.

mod adoption;
mod templates;
mod world;

use super::*;
use world::{Step, TestProcess, World, life};

const SECOND: Duration = Duration::from_secs(1);

fn explore(world: &World, depth: u32, count: &mut u64) {
    *count += 1;
    if depth == 0 {
        let mut stopped = world.clone();
        stopped.happens(Event::Stop);
        assert_eq!(stopped.open(), 0, "{stopped}");
        stopped.settle(true);
        assert!(stopped.processes.is_empty() && stopped.waiting == 0, "{stopped}");
        let mut good = world.clone();
        good.happens(Event::Resume);
        good.settle(true);
        let life = good.plan.life;
        assert_eq!(good.waiting, 0, "{good}");
        assert!((life.least as usize..=life.most as usize).contains(&good.open()), "{good}");
        assert!(good.processes.values().all(|process| process.open), "{good}");
        assert!(good.processes.values().all(|process| process.generation == good.plan.generation), "{good}");
        // The machine slept, or the supervisor was stopped: everything is late at once.
        let mut late = good.clone();
        late.now += SECOND * 86_400;
        late.happens(Event::Tick);
        late.settle(true);
        assert!((life.least as usize..=life.most as usize).contains(&late.open()), "{late}");
        assert!(late.processes.values().all(|process| process.open), "{late}");
        let mut bad = world.clone();
        bad.happens(Event::Resume);
        let open = bad.open();
        bad.settle(false);
        // What served serves on when nothing new can be started; but idle ones may have ended, down to the least.
        assert!(bad.open() >= open.min(life.least as usize), "{bad}");
        return;
    }
    for step in world.possible() {
        let mut next = world.clone();
        next.step(step);
        explore(&next, depth - 1, count);
    }
}

#[test]
fn every_order_of_events_ends_well() {
    let mut count = 0;
    let used_up =
        Life { max_requests: Some(1), max_rss: Some(100), lifetime: Some(SECOND * 100), ..life(1, 2) };
    for (life, depth) in
        [(life(1, 1), 5), (life(0, 1), 5), (life(1, 2), 4), (life(0, 2), 4), (life(2, 2), 4), (used_up, 3)]
    {
        explore(&World::new(life), depth, &mut count);
    }
    assert!(count > 3_000, "{count}");
}

#[test]
fn every_order_of_events_with_templates_ends_well() {
    let mut count = 0;
    for (life, depth) in [(life(1, 1), 5), (life(0, 1), 5), (life(1, 2), 4), (life(2, 2), 4)] {
        explore(&World::with(life, true), depth, &mut count);
    }
    assert!(count > 3_000, "{count}");
}

fn booted(life: Life) -> World {
    let mut world = World::new(life);
    for slot in world.slots(|process| !process.booted) {
        world.happens(Event::Ready(slot));
    }
    world.events.clear();
    world
}

#[test]
fn a_pool_that_needs_nothing_never_wakes() {
    for life in [life(1, 1), life(2, 4), life(0, 4)] {
        let world = booted(life);
        assert_eq!(world.plan.wakes(world.now), None);
        assert_eq!(world.open(), life.least as usize);
    }
}

#[test]
fn processes_come_on_demand_and_go_when_idle() {
    let mut world = World::new(life(0, 2));
    assert!(world.processes.is_empty());
    world.step(Step::Demand);
    assert_eq!(world.processes.len(), 1);
    world.happens(Event::Ready(0));
    // Who waits has a place of it as soon as it looks.
    assert_eq!((world.waiting, world.processes.len()), (1, 1));
    world.waiting = 0;
    world.settle(true);
    assert!(world.processes.is_empty() && world.now >= SECOND * 60, "{world}");
    assert_eq!(world.events, [LifeEvent::Idle(0)]);
}

#[test]
fn other_code_is_waited_for_after_attempts_that_failed() {
    let mut world = World::new(life(1, 1));
    for _ in 0..3 {
        for slot in world.slots(|process| !process.booted) {
            world.happens(Event::Exited(slot, false));
        }
        world.now = world.plan.wakes(world.now).unwrap();
        world.happens(Event::Tick);
    }
    assert!(!world.up, "{world}");
    world.happens(Event::Restart(RestartReason::Command));
    assert!(world.up, "{world}");
}

#[test]
fn a_burst_doubles_the_processes_until_the_most_is_reached() {
    let mut world = booted(life(1, 4));
    world.waiting = 9;
    world.happens(Event::Demand);
    assert_eq!(world.processes.len(), 3);
    world.happens(Event::Demand);
    assert_eq!(world.processes.len(), 3);
    world.happens(Event::Ready(1));
    assert_eq!(world.processes.len(), 4);
}

#[test]
fn crashes_are_answered_by_longer_and_longer_pauses() {
    let mut world = World::new(life(1, 1));
    let mut starts = Vec::new();
    for _ in 0..11 {
        starts.push(world.now);
        let slot = *world.processes.keys().next().unwrap();
        world.happens(Event::Exited(slot, false));
        assert!(world.processes.is_empty());
        while world.processes.is_empty() {
            world.step(Step::Wake);
        }
    }
    let pauses: Vec<_> = starts.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
    assert!(!world.up, "requests need not wait");
    let slot = *world.processes.keys().next().unwrap();
    world.happens(Event::Ready(slot));
    assert!(world.up);
}

#[test]
fn processes_that_crash_are_replaced_at_once_and_young_ones_in_a_row_after_a_pause() {
    let mut world = booted(life(1, 1));
    world.now += STABLE;
    world.happens(Event::Exited(0, false));
    assert_eq!((world.processes.len(), world.events.as_slice()), (1, &[LifeEvent::Died(0)][..]));
    // A young one, too, but once.
    for pause in [0, 100, 200] {
        world.happens(Event::Ready(0));
        world.happens(Event::Exited(0, false));
        let died = world.now;
        world.processes.is_empty().then(|| world.step(Step::Wake));
        assert_eq!(world.now - died, Duration::from_millis(pause));
    }
}

#[test]
fn killed_processes_that_took_requests_make_nobody_be_refused() {
    let mut world = booted(life(3, 3));
    // Of one it is known that it has served, of one it is not known yet, and one has not.
    world.step(Step::Work(0));
    world.happens(Event::Tick);
    world.step(Step::Work(1));
    world.waiting = 5;
    for round in 0..20 {
        for slot in world.slots(|process| process.open) {
            world.happens(Event::Exited(slot, false));
            assert!(world.up, "round {round}: {world}");
        }
        let begun = world.now;
        while world.processes.is_empty() {
            world.step(Step::Wake);
        }
        assert!(world.now - begun <= Duration::from_millis(1600), "{world}");
        for slot in world.slots(|process| !process.booted) {
            world.happens(Event::Ready(slot));
        }
    }
    assert_eq!(world.waiting, 5);
    // What is no process at all is another thing.
    for slot in world.slots(|process| process.open) {
        world.happens(Event::Exited(slot, false));
    }
    while world.up {
        match world.slots(|process| !process.booted).first() {
            Some(slot) => world.happens(Event::Exited(*slot, false)),
            None => world.step(Step::Wake),
        }
    }
}

#[test]
fn a_process_that_counts_its_requests_itself_has_not_failed() {
    let mut world = booted(life(1, 1));
    world.step(Step::Work(0));
    world.step(Step::Work(0));
    world.happens(Event::Tick);
    world.happens(Event::Exited(0, true));
    assert_eq!((world.processes.len(), world.events.as_slice()), (1, &[LifeEvent::Finished(0)][..]));
}

#[test]
fn one_that_does_not_boot_in_time_is_killed() {
    let mut world = World::new(life(1, 1));
    world.step(Step::Wake);
    assert_eq!(world.now, SECOND * 61);
    assert!(world.processes[&0].killed);
    assert!(world.events.contains(&LifeEvent::BootTimeout(0)));
    world.happens(Event::Exited(0, false));
    world.step(Step::Wake);
    assert!(!world.processes[&0].killed && world.up);
}

#[test]
fn one_that_ignores_term_is_killed() {
    let mut world = booted(life(1, 1));
    world.happens(Event::Restart(RestartReason::Command));
    let new = world.slots(|process| !process.booted)[0];
    world.happens(Event::Ready(new));
    world.step(Step::Wake);
    assert!(world.processes[&0].told);
    let told = world.now;
    // The other signal comes first.
    world.step(Step::Wake);
    assert!(!world.processes[&0].killed && world.now == told + NUDGE);
    world.step(Step::Wake);
    assert!(world.processes[&0].killed && world.now == told + GRACE);
    assert_eq!(
        world.events,
        [LifeEvent::RestartBegun(2, RestartReason::Command), LifeEvent::RestartDone(2), LifeEvent::Killed(0)]
    );
}

#[test]
fn a_restart_shows_first_that_the_code_can_be_started_and_then_changes_all_at_once() {
    let mut world = booted(life(3, 3));
    world.happens(Event::Restart(RestartReason::Command));
    let canary = world.slots(|process| !process.booted);
    assert_eq!(canary.len(), 1);
    world.happens(Event::Ready(canary[0]));
    assert_eq!((world.open(), world.processes.len()), (3, 6));
    let others = world.slots(|process| !process.booted);
    world.happens(Event::Ready(others[0]));
    assert!(world.processes.values().all(|process| process.open == (process.generation == 1)));
    world.happens(Event::Ready(others[1]));
    assert!(world.processes.values().all(|process| process.open == (process.generation == 2)));
}

#[test]
fn code_that_cannot_be_started_leaves_the_old_processes_in_their_place() {
    let mut world = booted(life(2, 2));
    world.happens(Event::Restart(RestartReason::Command));
    let before = world.now;
    while world.now < before + SECOND * 120 {
        match world.slots(|process| !process.booted).first() {
            Some(slot) => world.happens(Event::Exited(*slot, false)),
            None => world.step(Step::Wake),
        }
        assert_eq!(world.open(), 2);
    }
    assert!(world.events.contains(&LifeEvent::RestartFailed(2)) && world.up);
    world.settle(true);
    assert!(world.open() == 2 && world.processes.values().all(|process| process.generation == 2));
}

#[test]
fn a_busy_process_drains_until_its_limit() {
    let mut world = booted(life(1, 1));
    world.step(Step::Work(0));
    world.happens(Event::Restart(RestartReason::Command));
    let new = world.slots(|process| !process.booted)[0];
    world.happens(Event::Ready(new));
    let begun = world.now;
    while !world.processes[&0].told {
        world.step(Step::Wake);
    }
    assert!(world.now >= begun + SECOND * 60 && world.now <= begun + SECOND * 61);
    assert!(world.events.contains(&LifeEvent::DrainTimeout(0)));
}

#[test]
fn one_that_did_not_answer_in_time_is_replaced_at_once() {
    let mut world = booted(life(1, 1));
    world.step(Step::Work(0));
    world.happens(Event::Stuck(0));
    assert_eq!((world.open(), world.processes.len()), (0, 2));
    world.settle(true);
    assert_eq!((world.open(), world.processes.len(), world.events[0]), (1, 1, LifeEvent::Stuck(0)));
    world.happens(Event::Stuck(0));
    assert_eq!(world.open(), 1, "slot 0 has ended");
}

#[test]
fn a_claim_that_comes_with_the_close_is_waited_for() {
    let mut world = booted(life(1, 1));
    world.happens(Event::Restart(RestartReason::Command));
    let new = world.slots(|process| !process.booted)[0];
    world.happens(Event::Ready(new));
    assert!(!world.processes[&0].told, "nobody has looked since it was closed");
    world.processes.get_mut(&0).unwrap().seen.claims = 1;
    world.step(Step::Wake);
    assert!(!world.processes[&0].told);
}

#[test]
fn who_has_had_its_requests_or_its_time_goes_when_its_successor_is_there() {
    for (life, wear) in [
        (Life { max_requests: Some(10), ..life(1, 1) }, Wear::Requests(10)),
        (Life { max_rss: Some(100), ..life(1, 1) }, Wear::Resident(120)),
        (Life { lifetime: Some(SECOND * 100), ..life(1, 1) }, Wear::Age),
    ] {
        let mut world = booted(life);
        for _ in 0..20 {
            world.step(Step::Work(0));
        }
        world.processes.get_mut(&0).unwrap().resident = 120;
        while world.processes.len() == 1 {
            world.step(Step::Wake);
            assert!(world.now < SECOND * 110, "{world}");
        }
        assert!(world.processes[&0].open);
        let new = world.slots(|process| !process.booted)[0];
        world.happens(Event::Ready(new));
        assert_eq!(world.slots(|process| process.open), [new]);
        assert_eq!(world.events, [LifeEvent::Worn(0, wear)]);
    }
}

#[test]
fn one_that_is_worn_stays_while_its_successor_cannot_be_started() {
    let mut world = booted(Life { max_rss: Some(100), ..life(1, 1) });
    world.processes.get_mut(&0).unwrap().resident = 120;
    let end = world.now + SECOND * 100;
    while world.now < end {
        match world.slots(|process| !process.booted).first() {
            Some(slot) => world.happens(Event::Exited(*slot, false)),
            None => world.step(Step::Wake),
        }
        assert_eq!(world.slots(|process| process.open), [0]);
    }
    assert_eq!(world.events.iter().filter(|events| matches!(events, LifeEvent::Worn(..))).count(), 1);
    world.settle(true);
    assert_eq!(world.open(), 1);
}

#[test]
fn limits_that_come_with_a_reload_hold_for_those_that_run() {
    let mut world = booted(life(1, 1));
    world.processes.get_mut(&0).unwrap().resident = 120;
    world.happens(Event::Configured(Life { max_rss: Some(100), ..life(1, 1) }));
    while world.processes.len() == 1 {
        world.step(Step::Wake);
    }
    assert_eq!(world.events, [LifeEvent::Worn(0, Wear::Resident(120))]);
}

#[test]
fn what_could_not_be_made_is_not_told_twice() {
    let mut world = World::new(life(1, 1));
    world.happens(Event::NotStarted(0));
    assert_eq!(world.events, [LifeEvent::Waits(Duration::from_millis(100), 1)]);
}

#[test]
fn lifetimes_and_counts_are_not_the_same_for_all() {
    let life = Life {
        max_requests: Some(1000),
        max_rss: Some(1 << 40),
        lifetime: Some(SECOND * 1000),
        ..life(1, 1)
    };
    let born: Vec<_> = (0..50).map(|birth| PlanSlot::born(Phase::Ready, 1, SECOND, &life, birth)).collect();
    assert!(born.iter().all(|slot| (900..=1000).contains(&slot.most_served.unwrap())));
    let tenth = (1 << 40) - (1 << 40) / 10..=1 << 40;
    assert!(born.iter().all(|slot| tenth.contains(&slot.most_resident.unwrap())));
    assert!(born.iter().all(|slot| (SECOND * 900..=SECOND * 1001).contains(&slot.expires.unwrap())));
    let different: std::collections::BTreeSet<_> = born.iter().map(|slot| slot.expires).collect();
    assert_eq!(different.len(), 50);
}

#[test]
fn counting_costs_less_and_less_when_nothing_comes() {
    let mut world = booted(Life { max_requests: Some(1000), ..life(1, 1) });
    for _ in 0..20 {
        world.step(Step::Wake);
    }
    assert_eq!(world.plan.wakes(world.now), Some(world.now + COUNT_SELDOM));
}

#[test]
fn an_application_that_is_gone_from_the_configuration_serves_its_last_requests() {
    let mut world = booted(life(2, 2));
    world.step(Step::Work(1));
    world.happens(Event::Retire);
    for _ in 0..20 {
        world.step(Step::Wake);
        assert_eq!(world.open(), 2);
    }
    world.step(Step::Work(1));
    world.settle(true);
    assert!(world.plan.is_over() && world.processes.is_empty(), "{world}");
}

#[test]
fn one_that_was_stopped_serves_its_last_requests_and_comes_back_when_it_is_to() {
    let mut world = booted(life(2, 2));
    world.step(Step::Work(0));
    world.happens(Event::Stop);
    assert!(!world.up && world.open() == 0 && world.processes.values().all(|process| !process.told));
    world.step(Step::Wake);
    assert_eq!(world.slots(|process| process.told), [1]);
    world.settle(true);
    assert!(world.processes.is_empty());
    world.happens(Event::Restart(RestartReason::Command));
    world.happens(Event::Demand);
    assert!(world.processes.is_empty() && !world.up && world.plan.wakes(world.now).is_none());
    world.happens(Event::Resume);
    assert!(world.up);
    world.settle(true);
    assert_eq!(world.open(), 2);
}

#[test]
fn fewer_processes_are_reached_by_draining() {
    let mut world = booted(life(3, 3));
    world.most = 1;
    world.happens(Event::Configured(life(1, 1)));
    assert_eq!(world.open(), 1);
    world.settle(true);
    assert_eq!(world.processes.len(), 1);
}
