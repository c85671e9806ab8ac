// SPDX-License-Identifier: MIT OR Apache-2.0
//! A supervisor that takes the place of another one.

use super::*;

#[test]
fn a_new_supervisor_goes_on_with_what_it_finds() {
    let mut world = World::new(life(2, 2));
    world.plan = Plan::new(life(2, 2), 1, 5);
    world.processes.clear();
    for (slot, found, process) in [
        (0, Found::Ready, TestProcess { booted: true, open: true, generation: 4, ..TestProcess::default() }),
        (1, Found::Starting, TestProcess { generation: 4, ..TestProcess::default() }),
        (2, Found::Ending, TestProcess { booted: true, told: true, generation: 3, ..TestProcess::default() }),
        (3, Found::Draining, TestProcess { booted: true, generation: 3, ..TestProcess::default() }),
    ] {
        world.processes.insert(slot, process);
        world.plan.adopt(slot, process.generation, found, world.now);
    }
    world.plan.go_on(world.now);
    world.happens(Event::Tick);
    assert_eq!(world.processes.len(), 4, "{world}");
    world.settle(true);
    assert_eq!(world.slots(|process| process.open && process.generation == 4), [0, 1]);
}

#[test]
fn a_new_supervisor_ends_what_the_one_before_was_about_to_close() {
    let mut world = World::new(life(1, 2));
    world.plan = Plan::new(life(1, 2), 1, 5);
    world.processes.clear();
    for (slot, generation) in [(0, 4), (1, 3)] {
        let process = TestProcess { booted: true, open: true, generation, ..TestProcess::default() };
        world.processes.insert(slot, process);
        world.plan.adopt(slot, generation, Found::Ready, world.now);
    }
    world.plan.go_on(world.now);
    world.settle(true);
    assert_eq!(world.slots(|process| process.open), [0]);
    assert_eq!((world.processes.len(), world.plan.is_restarting()), (1, false));
}
