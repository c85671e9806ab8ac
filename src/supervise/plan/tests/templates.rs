// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generations that have a template: when it is loaded, forked, lost and done without.

use super::*;

fn preloaded(life: Life) -> World {
    let mut world = World::with(life, true);
    assert!(world.processes.is_empty(), "{world}");
    if life.least > 0 {
        world.happens(Event::TemplateReady(0));
    }
    for slot in world.slots(|process| !process.booted) {
        world.happens(Event::Ready(slot));
    }
    world.events.clear();
    world
}

#[test]
fn processes_are_forked_from_a_template_and_an_idle_one_never_wakes() {
    let mut world = preloaded(life(2, 4));
    assert_eq!((world.open(), world.forks, world.templates.len()), (2, 2, 1));
    assert_eq!(world.plan.wakes(world.now), None);
    world.now += STABLE;
    world.happens(Event::Exited(0, false));
    assert_eq!(world.forks, 3, "at once");
}

#[test]
fn nobody_has_a_template_whom_nobody_asks() {
    let mut world = preloaded(life(0, 2));
    assert!(world.templates.is_empty());
    world.step(Step::Demand);
    assert_eq!((world.templates.len(), world.processes.len()), (1, 0));
    world.happens(Event::TemplateReady(0));
    world.happens(Event::Ready(0));
    world.waiting = 0;
    world.settle(true);
    assert!(world.processes.is_empty() && world.templates.is_empty(), "{world}");
}

#[test]
fn a_restart_loads_the_new_code_first_and_then_changes_all_at_once() {
    let mut world = preloaded(life(3, 3));
    world.happens(Event::Restart(RestartReason::Command));
    assert_eq!(
        world.templates.values().filter(|template| !template.told).count(),
        2,
        "that of the old code stays"
    );
    assert_eq!(world.processes.len(), 3, "the new one is not loaded yet");
    let number = *world.templates.iter().find(|(_, template)| !template.loaded).unwrap().0;
    world.happens(Event::TemplateReady(number));
    assert_eq!(world.slots(|process| !process.booted).len(), 3);
    world.settle(true);
    assert_eq!((world.open(), world.templates.len(), world.forks), (3, 1, 6));
}

#[test]
fn code_that_cannot_be_loaded_leaves_the_old_processes_in_their_place() {
    let mut world = preloaded(life(2, 2));
    world.happens(Event::Restart(RestartReason::Command));
    let before = world.now;
    while world.now < before + SECOND * 120 {
        match world.templates.iter().find(|(_, template)| !template.loaded || template.told) {
            Some((number, _)) => world.happens(Event::TemplateEnded(*number)),
            None => world.step(Step::Wake),
        }
        assert_eq!((world.open(), world.processes.len()), (2, 2));
    }
    assert!(world.events.contains(&LifeEvent::RestartFailed(2)) && world.up);
    world.settle(true);
    assert!(world.open() == 2 && world.processes.values().all(|process| process.generation == 2));
    assert_eq!(world.forks, 4);
}

#[test]
fn code_that_cannot_be_loaded_at_first_is_shown_by_processes_that_try_themselves() {
    let mut world = World::with(life(2, 2), true);
    world.happens(Event::TemplateEnded(0));
    assert_eq!(
        (world.processes.len(), world.forks, world.events.as_slice()),
        (2, 0, &[LifeEvent::TemplateFailed][..])
    );
    world.settle(true);
    assert_eq!((world.open(), world.templates.len()), (2, 0), "no attempts that nobody waits for");
    world.now += STABLE;
    world.happens(Event::Exited(0, false));
    assert_eq!((world.templates.len(), world.processes.len()), (1, 1), "another attempt");
}

#[test]
fn a_template_that_ends_disturbs_nobody_and_is_loaded_again_with_longer_and_longer_pauses() {
    let mut world = preloaded(life(1, 1));
    let mut pauses = Vec::new();
    for _ in 0..4 {
        world.happens(Event::TemplateEnded(0));
        let ended = world.now;
        assert_eq!((world.open(), world.templates.len()), (1, 0));
        world.step(Step::Wake);
        assert_eq!(world.templates.len(), 1);
        pauses.push((world.now - ended).as_millis());
        world.happens(Event::TemplateReady(0));
    }
    assert_eq!(pauses, [100, 200, 400, 800]);
    world.now += STABLE;
    world.happens(Event::TemplateEnded(0));
    assert_eq!(world.plan.wakes(world.now), Some(world.now + Duration::from_millis(100)));
    // Meanwhile a process is made without it.
    world.happens(Event::Exited(0, false));
    assert_eq!((world.processes.len(), world.forks), (1, 1));
}

#[test]
fn a_template_that_does_not_load_in_time_is_killed() {
    let mut world = World::with(life(1, 1), true);
    world.step(Step::Wake);
    assert_eq!(world.now, SECOND * 61);
    assert!(world.templates[&0].killed && world.events.contains(&LifeEvent::TemplateTimeout));
    assert_eq!(world.processes.len(), 1, "it tries by itself");
}

#[test]
fn while_new_code_cannot_be_loaded_old_processes_are_replaced_by_their_own_template() {
    let mut world = preloaded(life(2, 2));
    world.now += STABLE;
    world.happens(Event::Restart(RestartReason::Command));
    let new = *world.templates.iter().find(|(_, template)| !template.loaded).unwrap().0;
    world.happens(Event::TemplateEnded(new));
    for slot in world.slots(|process| process.open) {
        world.happens(Event::Exited(slot, false));
    }
    let born = world.slots(|process| !process.booted);
    assert_eq!((born.len(), world.processes.len()), (2, 2), "{world}");
    for slot in born {
        world.happens(Event::Ready(slot));
    }
    assert_eq!(world.slots(|process| process.open && process.generation == 1).len(), 2, "{world}");
    world.settle(true);
    assert_eq!(world.slots(|process| process.open && process.generation == 2).len(), 2, "{world}");
    assert_eq!((world.processes.len(), world.templates.len()), (2, 1));
}

#[test]
fn templates_that_end_when_they_are_forked_are_not_waited_for() {
    let mut world = World::with(life(1, 1), true);
    for _ in 0..2 {
        while !world.templates.contains_key(&0) {
            world.step(Step::Wake);
        }
        world.happens(Event::TemplateReady(0));
        world.happens(Event::TemplateEnded(0));
        for slot in world.slots(|_| true) {
            world.happens(Event::NotStarted(slot));
        }
    }
    let forks = world.forks;
    while world.processes.is_empty() {
        world.step(Step::Wake);
    }
    assert_eq!(world.forks, forks, "it tries by itself: {world}");
    world.settle(true);
    assert_eq!(world.open(), 1);
}

/// Another supervisor, which finds the processes and templates of a world.
fn taken_over(world: &World) -> World {
    let mut next = world.clone();
    next.plan = Plan::new(world.plan.life, 1, Plan::slots_for(world.plan.life.most));
    next.plan.set_preload(true);
    for (slot, process) in &world.processes {
        let found = if process.open { Found::Ready } else { Found::Starting };
        next.plan.adopt(*slot, process.generation, found, next.now);
    }
    for (number, template) in &world.templates {
        next.plan.adopt_template(*number, template.generation, template.loaded, next.now);
    }
    next.plan.go_on(next.now);
    next.happens(Event::Tick);
    next
}

#[test]
fn a_new_supervisor_forks_from_the_template_that_is_there() {
    let world = preloaded(life(2, 2));
    let mut next = taken_over(&world);
    assert_eq!((next.templates.len(), next.plan.wakes(next.now)), (1, None), "{next}");
    assert_eq!(next.templates, world.templates);
    next.now += STABLE;
    next.happens(Event::Exited(0, false));
    assert_eq!((next.forks, next.processes.len()), (world.forks + 1, 2));
}

#[test]
fn a_new_supervisor_goes_on_with_a_restart() {
    let mut world = preloaded(life(2, 2));
    world.happens(Event::Restart(RestartReason::Command));
    let loading = *world.templates.iter().find(|(_, template)| !template.loaded).unwrap().0;
    let mut next = taken_over(&world);
    assert!(next.plan.is_restarting() && next.open() == 2 && next.templates.len() == 2, "{next}");
    next.happens(Event::TemplateReady(loading));
    next.settle(true);
    assert_eq!(next.slots(|process| process.open && process.generation == 2).len(), 2, "{next}");
    assert_eq!((next.processes.len(), next.templates.len()), (2, 1));
    assert!(next.events.contains(&LifeEvent::RestartDone(2)));
    // It fails: the old processes and their template stay.
    let mut failed = taken_over(&world);
    failed.happens(Event::TemplateEnded(loading));
    assert!(failed.events.contains(&LifeEvent::RestartFailed(2)) && failed.open() == 2, "{failed}");
    failed.now += STABLE;
    failed.happens(Event::Exited(0, false));
    assert_eq!(failed.forks, world.forks + 1, "{failed}");
}
