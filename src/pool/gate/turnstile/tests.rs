// SPDX-License-Identifier: MIT OR Apache-2.0

use proptest::prelude::*;

use super::*;

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// A turnstile whose threads are numbers, and a clock.
struct World {
    turnstile: Turnstile<u32>,
    now: Instant,
}

impl World {
    fn new(places: usize, room: usize, has_lock: bool) -> Self {
        let mut turnstile = Turnstile::new(places, room);
        turnstile.open(has_lock);
        Self { turnstile, now: Instant::now() }
    }

    fn pass(&mut self, time: u64) -> &mut Self {
        self.now += micros(time);
        self
    }

    fn enters(&mut self) -> Option<u64> {
        self.turnstile.enter(self.now).unwrap()
    }

    fn waits(&mut self, who: u32) -> u64 {
        assert_eq!(self.enters(), None);
        self.turnstile.wait(who, self.now).unwrap()
    }

    fn sleeps(&mut self, ticket: u64) -> Option<u64> {
        self.turnstile.sleep(ticket, self.now).map(|time| u64::try_from(time.as_micros()).unwrap())
    }

    fn begins(&mut self, ticket: u64) {
        self.turnstile.begin(ticket, self.now);
    }

    fn leaves(&mut self, ticket: u64) -> Option<u32> {
        self.turnstile.leave(ticket, None, self.now)
    }

    fn awakes(&mut self, ticket: u64) -> Awake<u32> {
        self.turnstile.awake(ticket, self.now)
    }
}

#[test]
fn a_free_place_is_for_who_comes_though_another_has_been_called() {
    let mut world = World::new(1, 4, false);
    let first = world.enters().unwrap();
    let second = world.waits(2);
    assert_eq!(world.leaves(first), Some(2));
    let third = world.enters().unwrap();
    assert_eq!(world.awakes(second), Awake::Waits(None));
    assert_eq!(world.leaves(third), Some(2));
    assert_eq!(world.awakes(second), Awake::Runs(None));
}

#[test]
fn who_has_waited_for_long_is_given_the_place() {
    let mut world = World::new(1, 4, false);
    let first = world.enters().unwrap();
    let (second, third) = (world.waits(2), world.waits(3));
    assert_eq!(world.pass(1000).leaves(first), Some(2));
    assert_eq!(world.enters(), None, "it has the place from now on");
    assert_eq!(world.awakes(second), Awake::Runs(None));
    // The next turn is a while later.
    assert_eq!(world.pass(999).leaves(second), Some(3));
    let newcomer = world.enters().unwrap();
    assert_eq!(world.awakes(third), Awake::Waits(None));
    assert_eq!(world.pass(1).leaves(newcomer), Some(3));
    assert_eq!((world.enters(), world.awakes(third)), (None, Awake::Runs(None)));
}

#[test]
fn each_free_place_calls_one() {
    let mut world = World::new(2, 4, false);
    let inside = [world.enters().unwrap(), world.enters().unwrap()];
    let line = [world.waits(2), world.waits(3), world.waits(4)];
    assert_eq!(inside.map(|ticket| world.leaves(ticket)), [Some(2), Some(3)]);
    assert_eq!(world.awakes(line[1]), Awake::Runs(None), "whoever is first");
    assert_eq!(world.awakes(line[0]), Awake::Runs(None));
    assert_eq!(world.leaves(line[0]), Some(4));
}

#[test]
fn the_line_is_bounded_and_free_places_count() {
    let mut world = World::new(2, 1, false);
    let first = world.enters().unwrap();
    world.enters().unwrap();
    world.waits(3);
    assert_eq!(world.turnstile.wait(4, world.now), Err(Refusal::Full));
    assert_eq!(world.leaves(first), Some(3));
    assert!(world.turnstile.wait(4, world.now).is_ok(), "the one that is called has a place");
}

#[test]
fn one_at_a_time_is_on_its_way_to_a_lock() {
    let mut world = World::new(8, 8, true);
    let first = world.enters().unwrap();
    let (second, third) = (world.waits(2), world.waits(3));
    // It has not got the lock: nobody else would.
    assert_eq!((world.sleeps(second), world.sleeps(third)), (Some(1000), None));
    world.pass(5000).begins(first);
    assert_eq!(world.awakes(second), Awake::Waits(None));
    assert_eq!(world.sleeps(second), Some(100));
    assert_eq!(world.pass(99).awakes(second), Awake::Waits(None));
    assert_eq!(world.sleeps(second), Some(1));
    // It takes longer than others: it may have given the lock up.
    assert_eq!(world.pass(1).awakes(second), Awake::Runs(Some(3)), "somebody watches on");
    assert_eq!((world.awakes(third), world.sleeps(third)), (Awake::Waits(None), Some(1000)));
    world.begins(second);
    assert_eq!((world.leaves(first), world.enters()), (None, None));
    assert_eq!(world.leaves(second), Some(3));
}

#[test]
fn where_handlers_wait_all_go_in_and_nobody_watches() {
    let mut world = World::new(4, 8, true);
    for _ in 0..2 {
        let ticket = world.enters().unwrap();
        world.begins(ticket);
        world.turnstile.leave(ticket, Some((micros(9000), Some(micros(50)))), world.now);
    }
    let inside: Vec<u64> = (0..4).map(|_| world.enters().unwrap()).collect();
    let waits = world.waits(9);
    assert_eq!(world.sleeps(waits), None);
    // A few short ones: one at a time again, and somebody is told to watch.
    let short = Some((micros(20), None));
    assert_eq!(world.turnstile.leave(inside[0], short, world.now), Some(9));
    assert_eq!(world.awakes(waits), Awake::Runs(None));
}

#[test]
fn who_slept_while_handlers_waited_watches_when_they_do_not_any_more() {
    let mut world = World::new(1, 8, true);
    for length in [9000, 9000, 20] {
        let ticket = world.enters().unwrap();
        world.turnstile.leave(ticket, Some((micros(length), None)), world.now);
    }
    let inside = world.enters().unwrap();
    let waits = world.waits(9);
    assert_eq!(world.sleeps(waits), None);
    assert_eq!(world.turnstile.leave(inside, Some((micros(20), None)), world.now), Some(9));
    let newcomer = world.enters().unwrap();
    world.begins(newcomer);
    assert_eq!(world.awakes(waits), Awake::Waits(None));
    assert_eq!(world.sleeps(waits), Some(100));
}

#[test]
fn a_closed_one_holds_and_a_stopped_one_sends_away() {
    let mut turnstile = Turnstile::new(2, 0);
    let now = Instant::now();
    assert_eq!(turnstile.enter(now), Ok(None));
    let waits = turnstile.wait(1, now).unwrap();
    assert_eq!(turnstile.wait(2, now), Err(Refusal::Full));
    assert_eq!((turnstile.wake(now), turnstile.awake(waits, now)), (None, Awake::Waits(None)));
    turnstile.open(false);
    assert_eq!(turnstile.wake(now), Some(1));
    turnstile.stop();
    assert_eq!(turnstile.awake(waits, now), Awake::Stopping);
    assert_eq!((turnstile.enter(now), turnstile.waiting().len()), (Err(Refusal::Stopping), 0));
}

#[test]
fn who_withdraws_lets_the_next_be_called() {
    let mut world = World::new(1, 4, false);
    let first = world.enters().unwrap();
    let (second, third) = (world.waits(2), world.waits(3));
    assert_eq!(world.leaves(first), Some(2));
    assert_eq!(world.turnstile.withdraw(second, world.now), Some(Some(3)));
    assert_eq!(world.awakes(third), Awake::Runs(None));
    assert_eq!(world.turnstile.withdraw(third, world.now), None, "it is inside");
}

/// Threads that come, run, wait and leave, each woken after a while, in a random order, with a clock. Whoever leaves comes
/// again at once: as many overtake as can.
#[derive(Clone, Copy, Debug)]
struct Load {
    threads: u32,
    places: usize,
    has_lock: bool,
    /// How long handlers take, and one in how many takes 10 ms, without the lock.
    length: u64,
    sleeper: u32,
    /// How long a thread takes to wake up.
    wake: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Outside,
    Inside(u64, Instant),
    Asleep(u64, Option<Instant>),
    Woken(u64, Instant),
}

struct Simulation {
    world: World,
    threads: Vec<At>,
    since: Vec<Instant>,
    load: Load,
    served: u32,
    longest: Duration,
}

impl Simulation {
    fn new(load: Load) -> Self {
        let world = World::new(load.places, 1000, load.has_lock);
        let count = load.threads as usize;
        let since = vec![world.now; count];
        Self { world, threads: vec![At::Outside; count], since, load, served: 0, longest: Duration::ZERO }
    }

    fn wake(&mut self, who: Option<u32>) {
        if let Some(thread) = who
            && let Some(at) = self.threads.get_mut(thread as usize)
            && let At::Asleep(ticket, _) = *at
        {
            *at = At::Woken(ticket, self.world.now + micros(self.load.wake));
        }
    }

    fn inside(&mut self, index: usize, ticket: u64) {
        self.longest = self.longest.max(self.world.now - self.since[index]);
        self.served += 1;
        self.world.begins(ticket);
        let sleeps = self.load.sleeper > 0 && self.served.is_multiple_of(self.load.sleeper);
        let length = if sleeps { 10_000 } else { self.load.length };
        self.threads[index] = At::Inside(ticket, self.world.now + micros(length));
    }

    fn falls_asleep(&mut self, index: usize, ticket: u64) {
        let until = self.world.turnstile.sleep(ticket, self.world.now).map(|time| self.world.now + time);
        self.threads[index] = At::Asleep(ticket, until);
    }

    /// What this thread does now, if anything.
    fn step(&mut self, index: usize) {
        let now = self.world.now;
        match self.threads[index] {
            At::Outside => {
                self.since[index] = now;
                match self.world.enters() {
                    Some(ticket) => self.inside(index, ticket),
                    None => {
                        let who = u32::try_from(index).unwrap();
                        let ticket = self.world.turnstile.wait(who, now).unwrap();
                        self.falls_asleep(index, ticket);
                    }
                }
            }
            At::Inside(ticket, until) if now >= until => {
                self.threads[index] = At::Outside;
                let next = self.world.turnstile.leave(ticket, Some((micros(self.load.length), None)), now);
                self.wake(next);
            }
            At::Asleep(ticket, Some(until)) if now >= until => {
                self.threads[index] = At::Woken(ticket, now + micros(self.load.wake));
            }
            At::Woken(ticket, at) if now >= at => match self.world.awakes(ticket) {
                Awake::Runs(next) => {
                    self.inside(index, ticket);
                    self.wake(next);
                }
                Awake::Waits(next) => {
                    // Before it sleeps, as in `Gate`.
                    self.wake(next);
                    self.falls_asleep(index, ticket);
                }
                Awake::Stopping => unreachable!("nobody stops it"),
            },
            At::Inside(..) | At::Asleep(..) | At::Woken(..) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[cfg_attr(miri, ignore = "a tenth of a second in steps of 5 us, many times")]
    #[test]
    fn nobody_waits_for_much_longer_than_the_line_takes(
        threads in 2u32..24,
        places in 1usize..9,
        has_lock: bool,
        length in 5u64..80,
        sleeper in prop_oneof![Just(0u32), 3u32..20],
        wake in 1u64..200,
        order in proptest::collection::vec(0usize..24, 64),
    ) {
        let load = Load { threads, places, has_lock, length, sleeper, wake };
        let mut simulation = Simulation::new(load);
        for round in 0..20_000usize {
            simulation.world.pass(5);
            // Who is looked at first changes all the time.
            let first = order[round % order.len()];
            for index in 0..threads as usize {
                simulation.step((index + first) % threads as usize);
            }
            prop_assert!(simulation.world.turnstile.inside() <= places);
        }
        // Each before it goes in within a turn, or within what a place takes to be free, and wakes up.
        let place = if sleeper > 0 { 10_000 } else { length };
        let bound = u64::from(threads + 2) * (1000 + place + 2 * wake + 110);
        prop_assert!(simulation.longest < micros(bound), "{:?} of {bound} with {load:?}", simulation.longest);
        // 100 ms: the places are used.
        let slowest = u64::from(sleeper.min(1)) * 10_000 / u64::from(sleeper.max(1)) + length + 5 + 2 * wake + 110;
        prop_assert!(u64::from(simulation.served) >= 100_000 / slowest / 2, "{} served with {load:?}", simulation.served);
    }
}
