// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every order that a generator makes, threads at once, and processes that are killed at random.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::{
    collections::VecDeque,
    env,
    io::{self, BufRead, BufReader},
    os::fd::AsRawFd,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

const SHAPE: Shape = Shape { slots: 3, threads: 2, room: 4 };

fn segment(shape: Shape) -> Segment {
    Segment::create(shape, Path::new("/run/gangway/1-"), Wake::Threads).expect("memory")
}

fn ready(shape: Shape) -> Segment {
    let segment = segment(shape);
    for slot in 0..shape.slots {
        segment.set_state(slot, SlotState::Ready, 1);
    }
    segment
}

fn claimed(claim: Claim) -> Place {
    match claim {
        Claim::Claimed(place) => place,
        other => panic!("{other:?}"),
    }
}

fn waits(claim: Claim) -> Ticket {
    match claim {
        Claim::Waits(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

const ONE: Owner = one(7);
const TWO: Owner = one(8);
const SUPERVISOR: Owner = one(1);

const fn one(pid: u32) -> Owner {
    Owner::of(pid)
}

#[test]
fn another_process_finds_what_it_needs() {
    let first = ready(SHAPE);
    let second =
        Segment::open(first.as_fd().try_clone_to_owned().expect("a copy"), Wake::Threads).expect("a segment");
    assert_eq!(second.shape(), SHAPE);
    assert_eq!(second.socket_path(2), Path::new("/run/gangway/1-2"));
    let place = claimed(first.claim(ONE, 5));
    first.set_pid(place.slot(), 99);
    let slot = second.slot(place.slot());
    assert_eq!(
        (slot.state, slot.generation, slot.pid, slot.claims, slot.served),
        (SlotState::Ready, 1, 99, 1, 1)
    );
    assert_eq!(
        (second.oldest_claim(place.slot()), second.workers().collect::<Vec<_>>()),
        (Some(5), vec![ONE])
    );
    first.release(ONE, place);
    assert!(second.workers().next().is_none());
}

#[test]
fn what_is_no_segment_is_refused() {
    let words = SharedWords::create(c"other", 4096).expect("memory");
    assert!(Segment::open(words.as_fd().try_clone_to_owned().expect("a copy"), Wake::Threads).is_err());
    let long = "/".repeat(layout::PREFIX_MAX + 1);
    assert!(Segment::create(SHAPE, Path::new(&long), Wake::Threads).is_err());
}

#[test]
fn the_busiest_with_a_free_place_is_taken_first() {
    let segment = ready(SHAPE);
    let places: Vec<_> = (0..5).map(|_| claimed(segment.claim(ONE, 0))).collect();
    let slots: Vec<_> = places.iter().map(Place::slot).collect();
    assert_eq!((slots[0] == slots[1], slots[2] == slots[3], slots[1] == slots[2]), (true, true, false));
    let mut places = places.into_iter();
    // Slot of the first two has one now, that of the fifth one as well: whichever, none begins anew while one is busier.
    segment.release(ONE, places.next().expect("a place"));
    segment.release(ONE, places.next().expect("a place"));
    assert_eq!(claimed(segment.claim(ONE, 0)).slot(), slots[4]);
}

#[test]
fn nobody_overtakes_and_the_queue_is_bounded() {
    let segment = ready(Shape { slots: 1, threads: 1, room: 2 });
    let place = claimed(segment.claim(ONE, 0));
    let (first, second) = (waits(segment.claim(ONE, 0)), waits(segment.claim(TWO, 0)));
    assert_eq!((segment.claim(TWO, 0), segment.waiting()), (Claim::Full, 2));
    assert!(segment.release(ONE, place), "the next one is of the same worker");
    assert_eq!(segment.poll(&second, TWO, 0), QueuePoll::Waits);
    let QueuePoll::Claimed(place) = segment.poll(&first, ONE, 3) else { panic!("it has none") };
    assert_eq!(segment.oldest_claim(0), Some(3));
    assert!(!segment.release(ONE, place), "the next one is elsewhere");
    let QueuePoll::Claimed(place) = segment.poll(&second, TWO, 0) else { panic!("it has none") };
    segment.release(TWO, place);
    assert_eq!((segment.claims(0), segment.waiting(), segment.slot(0).served), (0, 0, 3));
}

#[test]
fn a_ticket_that_is_withdrawn_gives_its_place_to_the_next() {
    let segment = ready(Shape { slots: 1, threads: 1, room: 3 });
    let place = claimed(segment.claim(ONE, 0));
    let tickets: Vec<_> = (0..3).map(|_| waits(segment.claim(ONE, 0))).collect();
    let [first, second, third] = <[Ticket; 3]>::try_from(tickets).expect("three");
    assert!(!segment.withdraw(second, ONE));
    segment.release(ONE, place);
    assert!(segment.withdraw(first, ONE), "it had the place, which is the third one's now");
    assert!(matches!(segment.poll(&third, ONE, 0), QueuePoll::Claimed(_)));
}

#[test]
fn without_room_the_first_waits_for_the_first_process() {
    let segment = segment(Shape { slots: 1, threads: 1, room: 0 });
    let ticket = waits(segment.claim(ONE, 0));
    assert_eq!(segment.claim(ONE, 0), Claim::Full);
    segment.set_state(0, SlotState::Ready, 1);
    segment.hand_over(SUPERVISOR);
    let QueuePoll::Claimed(place) = segment.poll(&ticket, ONE, 0) else { panic!("it has none") };
    assert_eq!(segment.claim(ONE, 0), Claim::Full);
    segment.release(ONE, place);
    assert!(matches!(segment.claim(ONE, 0), Claim::Claimed(_)));
}

#[test]
fn who_waits_for_what_cannot_start_is_refused() {
    let segment = segment(SHAPE);
    let ticket = waits(segment.claim(ONE, 0));
    segment.set_condition(Condition::Down);
    assert_eq!((segment.poll(&ticket, ONE, 0), segment.claim(ONE, 0)), (QueuePoll::Refused, Claim::Down));
    segment.set_state(1, SlotState::Ready, 1);
    assert!(matches!(segment.claim(ONE, 0), Claim::Claimed(_)));
    segment.set_condition(Condition::Up);
}

#[test]
fn a_process_that_drains_gets_nothing_more() {
    let segment = ready(Shape { slots: 2, threads: 1, room: 2 });
    let place = claimed(segment.claim(ONE, 0));
    segment.set_state(place.slot(), SlotState::Draining, 1);
    assert_ne!(claimed(segment.claim(ONE, 0)).slot(), place.slot());
    let ticket = waits(segment.claim(ONE, 0));
    let slot = place.slot();
    segment.release(ONE, place);
    assert_eq!((segment.claims(slot), segment.poll(&ticket, ONE, 0)), (0, QueuePoll::Waits));
}

#[test]
fn what_the_dead_had_goes_to_those_who_wait() {
    let segment = ready(Shape { slots: 1, threads: 2, room: 4 });
    let kept = claimed(segment.claim(ONE, 0));
    let _lost = claimed(segment.claim(TWO, 0));
    let (_lost, waiting) = (waits(segment.claim(TWO, 0)), waits(segment.claim(ONE, 0)));
    segment.free_worker(TWO, SUPERVISOR);
    assert!(matches!(segment.poll(&waiting, ONE, 0), QueuePoll::Claimed(_)));
    // A place that it was given and did not take goes on as well.
    let lost = waits(segment.claim(TWO, 0));
    let waiting = waits(segment.claim(ONE, 0));
    segment.release(ONE, kept);
    assert_eq!(segment.poll(&waiting, ONE, 0), QueuePoll::Waits);
    drop(lost);
    segment.free_worker(TWO, SUPERVISOR);
    assert!(matches!(segment.poll(&waiting, ONE, 0), QueuePoll::Claimed(_)));
}

#[test]
fn a_place_that_the_dead_have_given_is_kept() {
    let segment = ready(Shape { slots: 1, threads: 1, room: 4 });
    let place = claimed(segment.claim(TWO, 0));
    let (first, second) = (waits(segment.claim(ONE, 0)), waits(segment.claim(ONE, 0)));
    segment.release(TWO, place);
    // TWO has marked the place as being given, and dies before ONE takes it.
    segment.free_worker(TWO, SUPERVISOR);
    assert!(matches!(segment.poll(&first, ONE, 0), QueuePoll::Claimed(_)), "the first one keeps its turn");
    assert_eq!(segment.poll(&second, ONE, 0), QueuePoll::Waits);
}

/// What a generator lets happen.
#[derive(Clone, Debug)]
enum Step {
    Claim(u32),
    Release(usize),
    Withdraw(usize),
    Look(usize),
    State(u16, bool),
    Die(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..4).prop_map(Step::Claim),
        3 => (0usize..8).prop_map(Step::Release),
        1 => (0usize..8).prop_map(Step::Withdraw),
        2 => (0usize..8).prop_map(Step::Look),
        1 => (0u16..3, any::<bool>()).prop_map(|(slot, ready)| Step::State(slot, ready)),
        1 => (1u32..4).prop_map(Step::Die),
    ]
}

/// The requests of all workers.
#[derive(Default)]
struct World {
    places: Vec<(Owner, Place)>,
    tickets: VecDeque<(Owner, Ticket)>,
}

impl World {
    fn step(&mut self, segment: &Segment, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Claim(pid) => match segment.claim(one(pid), 0) {
                Claim::Claimed(place) => self.places.push((one(pid), place)),
                Claim::Waits(ticket) => self.tickets.push_back((one(pid), ticket)),
                Claim::Full => prop_assert_eq!(self.tickets.len(), usize::from(SHAPE.room)),
                Claim::Down => prop_assert!(false, "nobody has said so"),
            },
            Step::Release(at) if at < self.places.len() => {
                let (owner, place) = self.places.swap_remove(at);
                segment.release(owner, place);
            }
            Step::Withdraw(at) if at < self.tickets.len() => {
                if let Some((owner, ticket)) = self.tickets.remove(at) {
                    segment.withdraw(ticket, owner);
                }
            }
            Step::Look(at) if at < self.tickets.len() => self.look(segment, at)?,
            Step::State(slot, true) => {
                segment.set_state(slot, SlotState::Ready, 1);
                segment.hand_over(SUPERVISOR);
            }
            Step::State(slot, false) => segment.set_state(slot, SlotState::Draining, 1),
            Step::Die(pid) => {
                self.places.retain(|(owner, _)| *owner != one(pid));
                self.tickets.retain(|(owner, _)| *owner != one(pid));
                segment.free_worker(one(pid), SUPERVISOR);
            }
            Step::Release(_) | Step::Withdraw(_) | Step::Look(_) => {}
        }
        Ok(())
    }

    fn look(&mut self, segment: &Segment, at: usize) -> Result<(), TestCaseError> {
        let Some((owner, ticket)) = self.tickets.remove(at) else { return Ok(()) };
        match segment.poll(&ticket, owner, 0) {
            QueuePoll::Claimed(place) => self.places.push((owner, place)),
            QueuePoll::Waits => self.tickets.insert(at, (owner, ticket)),
            QueuePoll::Refused => prop_assert!(false, "nobody has said so"),
        }
        Ok(())
    }

    fn check(&mut self, segment: &Segment) -> Result<(), TestCaseError> {
        // All that can be known is known: who has been given a place takes it.
        for at in (0..self.tickets.len()).rev() {
            self.look(segment, at)?;
        }
        let mut taken: Vec<_> = self.places.iter().map(|(_, place)| place.index).collect();
        taken.sort_unstable();
        taken.dedup();
        prop_assert_eq!(taken.len(), self.places.len(), "a place is had twice");
        let claims: u16 = (0..SHAPE.slots).map(|slot| segment.claims(slot)).sum();
        prop_assert_eq!(usize::from(claims), self.places.len(), "a place is nobody's");
        prop_assert_eq!(segment.waiting(), self.tickets.len());
        let free = segment.free_place().is_some();
        prop_assert!(!free || self.tickets.is_empty(), "somebody waits beside a free place");
        // They came in this order, and each has its turn in it.
        let order: Vec<_> = self.tickets.iter().map(|(_, ticket)| ticket.sequence).collect();
        prop_assert!(order.is_sorted());
        Ok(())
    }
}

proptest! {
    #[test]
    fn places_and_turns_are_never_lost(steps in proptest::collection::vec(step(), 0..120), eager: bool) {
        let segment = ready(SHAPE);
        let mut world = World::default();
        for step in &steps {
            world.step(&segment, step)?;
            if eager {
                world.check(&segment)?;
            }
        }
        world.check(&segment)?;
    }
}

/// Claims a place as a thread of httpd does. `None` when the queue is full.
fn take(segment: &Segment, worker: Owner) -> Option<Place> {
    match segment.claim(worker, 0) {
        Claim::Claimed(place) => Some(place),
        Claim::Full => None,
        Claim::Down => panic!("nobody has said so"),
        Claim::Waits(ticket) => loop {
            match segment.poll(&ticket, worker, 0) {
                QueuePoll::Claimed(place) => return Some(place),
                QueuePoll::Waits => segment.wait(&ticket, Duration::from_secs(60)),
                QueuePoll::Refused => panic!("nobody has said so"),
            }
        },
    }
}

#[test]
fn threads_of_two_workers_share_places() {
    let segment = ready(Shape { slots: 2, threads: 2, room: 64 });
    let uses: Vec<_> = (0..segment.layout.size()).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (segment, uses) = (&segment, &uses);
            scope.spawn(move || {
                for _ in 0..2000 {
                    let place = take(segment, one(number % 2 + 1)).expect("there is room for all");
                    let word = &uses[place.index];
                    assert_eq!(word.fetch_add(1, SeqCst), 0, "a place is had twice");
                    if number % 3 == 0 {
                        std::thread::yield_now();
                    }
                    word.fetch_sub(1, SeqCst);
                    segment.release(one(number % 2 + 1), place);
                }
            });
        }
    });
    assert_eq!((segment.claims(0), segment.claims(1), segment.waiting()), (0, 0, 0));
    assert_eq!(segment.slot(0).served + segment.slot(1).served, 8 * 2000);
}

const MEMORY: &str = "GANGWAY_TEST_SEGMENT";
/// The words beside a segment by which its test knows who uses which place; the first one ends the workers.
const USES: &str = "GANGWAY_TEST_USES";

fn descriptor(name: &str) -> io::Result<OwnedFd> {
    let path = env::var(name).map_err(io::Error::other)?;
    Ok(std::fs::File::options().read(true).write(true).open(path)?.into())
}

/// A worker of the test below; by itself it does nothing.
#[test]
fn worker_of_the_test_with_processes() {
    let (Ok(memory), Ok(uses)) = (descriptor(MEMORY), descriptor(USES)) else { return };
    let segment = Segment::open(memory, Wake::Threads).expect("the segment");
    let uses = SharedWords::open(uses).expect("the words");
    let (uses, me) = (uses.words(), Owner::this_process());
    println!("\nbegun");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while uses[0].load(SeqCst) == 0 {
                    let Some(place) = take(&segment, me) else {
                        std::thread::yield_now();
                        continue;
                    };
                    let before = uses[place.index].swap(u64::from(me.pid()), SeqCst);
                    if before != 0 {
                        uses[1].store(before, SeqCst);
                    }
                    std::hint::spin_loop();
                    uses[place.index].store(0, SeqCst);
                    uses[2].fetch_add(1, SeqCst);
                    segment.release(me, place);
                }
            });
        }
    });
}

fn start_worker(segment: &Segment, uses: &SharedWords) -> Child {
    let path = |fd: BorrowedFd<'_>| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
    let name = "supervise::segment::tests::worker_of_the_test_with_processes";
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MEMORY, path(segment.as_fd()))
        .env(USES, path(uses.as_fd()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "begun"), "the worker has not begun");
    // Nobody reads its last words, but it may write them.
    std::thread::spawn(move || lines.count());
    child
}

fn bury(segment: &Segment, uses: &SharedWords, worker: &mut Child) {
    let dead = Owner::of(worker.id());
    worker.wait().expect("its end");
    for word in &uses.words()[layout::SEQUENCE + 1..] {
        let _ = word.compare_exchange(u64::from(dead.pid()), 0, SeqCst, SeqCst);
    }
    segment.free_worker(dead, Owner::this_process());
}

#[test]
fn workers_that_are_killed_lose_nothing() {
    let segment = ready(Shape { slots: 2, threads: 2, room: 16 });
    // Places stand far behind the first words, which the test uses otherwise.
    let uses = SharedWords::create(c"uses", segment.layout.size()).expect("memory");
    let done = || uses.words()[2].load(SeqCst);
    let mut workers: Vec<_> = (0..3).map(|_| start_worker(&segment, &uses)).collect();
    for round in 0..24 {
        let (before, end) = (done(), Instant::now() + Duration::from_secs(30));
        // Where a worker has been killed in the middle of whatever it did, the others go on.
        while done() < before + 50 + round * 7 {
            assert!(Instant::now() < end, "nothing goes on in round {round}: {segment:?}");
            std::thread::yield_now();
        }
        let worker = &mut workers[round as usize % 3];
        worker.kill().expect("its death");
        bury(&segment, &uses, worker);
        *worker = start_worker(&segment, &uses);
    }
    uses.words()[0].store(1, SeqCst);
    for worker in &mut workers {
        bury(&segment, &uses, worker);
    }
    assert_eq!(uses.words()[1].load(SeqCst), 0, "a place was had twice");
    assert_eq!((segment.claims(0), segment.claims(1), segment.waiting()), (0, 0, 0));
    assert!(!segment.has_waiting() && segment.workers().next().is_none());
}
