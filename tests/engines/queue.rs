// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool between a server and a blocking engine: order, bounds, deadlines, and failures of either side.

use std::{
    fs::File,
    hint,
    io::Read,
    os::fd::AsRawFd,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use gangway::{
    engine::App,
    exchange::{
        Body, Cause, Channel, Delivery, End, Exchange, Outbox, OutboxEvent, Port, ROOM, RequestHead, Stop,
        Wait,
    },
    http::Fields,
    log::Level,
    pool::Refusal,
    runtime::{self, Application, Threads},
    sys,
};

use crate::world::{Client, PATIENCE, Request, World, await_line, compile, get};

/// Occupies a thread until [`free`].
fn occupy(app: &Arc<Application>) -> Client {
    let client = stream().send(app);
    client.await_blocked();
    client
}

fn stream() -> Request {
    get("/stream").with("QUERY_STRING", "1000").room(1000)
}

fn free(client: Client) {
    client.exchange.cancel(Cause::ClientGone);
    assert_eq!(client.ended().end, Some(End::Failed));
}

#[test]
fn the_queue_is_bounded_and_a_waiting_request_can_be_withdrawn() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=bounded", "threads=2", "queue=2"]);
    let busy = [occupy(&app), occupy(&app)];
    let waiting = [get("/hello").send(&app), get("/hello").send(&app)];
    let refused = get("/hello").prepare();
    assert_eq!(refused.submit(&app), Err(Refusal::Full));
    assert_eq!(app.waiting(), 2);
    assert!(app.withdraw(&waiting[0].exchange));
    assert!(!app.withdraw(&waiting[0].exchange), "it is out");
    assert_eq!(refused.submit(&app), Ok(()));
    runtime::abandon(&app, &refused.exchange, Cause::ClientGone);
    assert_eq!(app.waiting(), 1);
    busy.into_iter().for_each(free);
    let [withdrawn, waited] = waiting;
    assert_eq!(waited.ended().text(), "bounded");
    assert!(withdrawn.is_silent() && refused.is_silent());
    world.end();
    assert!(await_line("native: bounded:").contains("handled=3 "));
}

#[test]
fn first_come_first_served() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=order", "threads=1"]);
    // Requests wait while the application loads or the thread works on the first: a single thread ends them in
    // the order of their tickets.
    let outbox = Arc::new(Outbox::new().unwrap());
    let channels: Vec<_> = (0..200).map(|ticket| hello_for(&outbox, ticket)).collect();
    for (exchange, _) in &channels {
        app.submit(exchange).unwrap();
    }
    let (mut order, mut events) = (Vec::new(), Vec::new());
    let until = Instant::now() + PATIENCE;
    while order.len() < channels.len() {
        outbox.drain(&mut events);
        for event in events.drain(..) {
            let OutboxEvent::Ready(ticket) = event else { panic!("{event:?}") };
            assert_eq!(channels[ticket as usize].1.take().end, Some(End::Complete));
            order.push(ticket);
        }
        assert!(Instant::now() < until, "{order:?}");
        thread::yield_now();
    }
    assert_eq!(order, (0..200).collect::<Vec<_>>());
    world.end();
}

fn hello_for(outbox: &Arc<Outbox>, ticket: u64) -> (Arc<Exchange>, Arc<Channel>) {
    let mut variables = Fields::default();
    variables.push(b"PATH_INFO", b"/hello");
    let channel = Channel::new(ticket, outbox.clone(), Body::default(), ROOM);
    let head = RequestHead { variables, content_length: Some(0), ..RequestHead::default() };
    (Exchange::new(head, channel.clone()), channel)
}

#[test]
fn a_burst_costs_one_signal() {
    let outbox = Arc::new(Outbox::new().unwrap());
    let mut counter = File::from(sys::duplicate(outbox.eventfd().as_raw_fd()).unwrap());
    let mut signals = move || {
        let mut count = [0; 8];
        counter.read_exact(&mut count).map_or(0, |()| u64::from_ne_bytes(count))
    };
    assert_eq!(signals(), 0);
    let mut events = Vec::new();
    for round in 1..=3u64 {
        (0..1000).for_each(|ticket| outbox.push(OutboxEvent::Ready(ticket)));
        assert_eq!(signals(), 1, "round {round}");
        outbox.drain(&mut events);
        assert_eq!(events.drain(..).count(), 1000);
        assert_eq!(signals(), 0);
    }
}

#[test]
fn late_events_wait_for_each_other_and_for_nothing_else() {
    let outbox = Outbox::new().unwrap();
    let mut told = [outbox.eventfd().as_raw_fd(), outbox.timerfd().as_raw_fd()]
        .map(|fd| File::from(sys::duplicate(fd).unwrap()));
    let mut events = Vec::new();
    let mut count = [0; 8];
    for round in 0..3 {
        (0..5).for_each(|ticket| outbox.push_late(OutboxEvent::Ready(ticket)));
        let until = Instant::now() + PATIENCE;
        while told[1].read(&mut count).is_err() {
            assert!(Instant::now() < until, "round {round}");
            thread::yield_now();
        }
        assert_eq!(u64::from_ne_bytes(count), 1);
        assert!(told[0].read(&mut count).is_err(), "the loop is told once");
        outbox.drain(&mut events);
        assert_eq!(events.drain(..).count(), 5);
    }
    // Whoever cannot wait takes the others along.
    outbox.push_late(OutboxEvent::Ready(1));
    outbox.push(OutboxEvent::Ready(2));
    outbox.push_late(OutboxEvent::Ready(3));
    assert_eq!(told[0].read(&mut count).unwrap(), 8);
    outbox.drain(&mut events);
    assert_eq!(events.len(), 3);
}

#[test]
fn no_event_is_left_behind_by_a_loop_that_sleeps() {
    const ROUNDS: u64 = 5_000;
    let outbox = Arc::new(Outbox::new().unwrap());
    let mut counter = File::from(sys::duplicate(outbox.eventfd().as_raw_fd()).unwrap());
    let (seen, mut events) = (AtomicU64::new(0), Vec::new());
    let until = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        // The second event of a round comes while the loop wakes for the first, and nothing comes after it.
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                outbox.push(OutboxEvent::Ready(round));
                (0..round % 64).for_each(|_| hint::spin_loop());
                outbox.push(OutboxEvent::Ready(round));
                while seen.load(Ordering::Acquire) < 2 * round && Instant::now() < until {
                    hint::spin_loop();
                }
            }
        });
        // As epoll(7) edge-triggered: drains only when the eventfd has been written since the last look.
        while seen.load(Ordering::Acquire) < 2 * ROUNDS {
            if counter.read_exact(&mut [0; 8]).is_ok() {
                outbox.drain(&mut events);
                seen.fetch_add(events.drain(..).count() as u64, Ordering::AcqRel);
            }
            assert!(Instant::now() < until, "{seen:?} of {}", 2 * ROUNDS);
        }
    });
}

#[test]
fn a_cancelled_request_does_not_reach_the_engine() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=unseen", "threads=1"]);
    let busy = occupy(&app);
    let gone = get("/hello").send(&app);
    gone.exchange.cancel(Cause::ClientGone);
    free(busy);
    gone.await_gone();
    world.end();
    assert!(await_line("native: unseen:").contains("handled=1 "));
}

#[test]
fn many_requests_on_many_threads_are_all_answered() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=many", "threads=4", "queue=100000"]);
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                for round in 0..200 {
                    let clients: Vec<_> = (0..round % 5 + 1).map(|_| get("/hello").send(&app)).collect();
                    for client in clients {
                        assert_eq!(client.ended().text(), "many");
                    }
                }
            });
        }
    });
    world.end();
    assert!(await_line("native: many:").contains("handled=2400 threads=4 lock=free"));
}

#[test]
fn a_client_without_a_queue_is_served_again_and_again() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=no-queue", "threads=2", "queue=1"]);
    get("/hello").answer(&app);
    for round in 0..500 {
        let client = get("/hello").prepare();
        assert_eq!(client.submit(&app), Ok(()), "round {round}");
        client.ended();
    }
    world.end();
}

#[test]
fn server_threads_come_in_as_many_as_may() {
    let world = World::new();
    let words = ["env=GREETING=own", "threads=2", "queue=1"];
    let app = world.load_file(compile("good/native"), &words, Threads::Server);
    thread::scope(|scope| {
        let run = |request: Request| {
            let (client, app) = (request.prepare(), Arc::clone(&app));
            let exchange = Arc::clone(&client.exchange);
            (client, scope.spawn(move || app.run(&exchange, None)))
        };
        let (first, first_thread) = run(stream());
        first.await_blocked();
        let hello = get("/hello").prepare();
        assert_eq!(app.run(&hello.exchange, None), Ok(()), "the second place is free");
        assert_eq!(hello.ended().text(), "own");

        let (second, second_thread) = run(stream());
        second.await_blocked();
        let late = get("/hello").prepare();
        assert_eq!(app.run(&late.exchange, Some(Instant::now())), Err(Refusal::Deadline));
        let (patient, patient_thread) = run(get("/hello"));
        while app.waiting() == 0 {
            thread::yield_now();
        }
        assert_eq!(app.run(&late.exchange, None), Err(Refusal::Full));
        free(first);
        assert_eq!(first_thread.join().unwrap(), Ok(()));
        assert_eq!((patient_thread.join().unwrap(), patient.ended().text()), (Ok(()), "own".into()));
        free(second);
        assert_eq!(second_thread.join().unwrap(), Ok(()));
        app.thread_end();
    });
    world.end();
    assert!(await_line("native: own:").ends_with("handled=4 threads=1 lock=free loans=returned"));
}

#[test]
fn server_threads_that_wait_are_sent_away_at_the_end() {
    let world = World::new();
    let words = ["env=GREETING=away", "threads=1"];
    let app = world.load_file(compile("good/native"), &words, Threads::Server);
    thread::scope(|scope| {
        let inside = stream().prepare();
        let inside_thread = scope.spawn({
            let (app, exchange) = (Arc::clone(&app), Arc::clone(&inside.exchange));
            move || app.run(&exchange, None)
        });
        inside.await_blocked();
        let waiting_thread = scope.spawn(|| app.run(&get("/hello").prepare().exchange, None));
        while app.waiting() == 0 {
            thread::yield_now();
        }
        let stopping = scope.spawn(|| world.stop(PATIENCE));
        assert_eq!(waiting_thread.join().unwrap(), Err(Refusal::Stopping));
        assert!(!stopping.is_finished(), "one is still inside");
        free(inside);
        assert_eq!(inside_thread.join().unwrap(), Ok(()));
        stopping.join().unwrap();
    });
    assert_eq!(app.run(&get("/hello").prepare().exchange, None), Err(Refusal::Stopping));
    assert!(await_line("native: away:").contains("handled=1 "));
}

#[test]
fn a_server_thread_does_not_run_what_is_cancelled() {
    let world = World::new();
    let words = ["env=GREETING=vain", "threads=1"];
    let app = world.load_file(compile("good/native"), &words, Threads::Server);
    let gone = get("/hello").prepare();
    gone.exchange.cancel(Cause::Deadline);
    assert_eq!(app.run(&gone.exchange, None), Ok(()));
    assert!(!App::is_running(&gone.exchange));
    assert_eq!(gone.ended().end, Some(End::Failed));
    world.end();
    assert!(await_line("native: vain:").contains("handled=0 "));
}

#[test]
fn what_somebody_has_taken_back_does_not_run() {
    let world = World::new();
    let words = ["env=GREETING=back", "threads=1"];
    let app = world.load_file(compile("good/native"), &words, Threads::Server);
    let taken = get("/hello").prepare();
    assert_eq!(app.run_if(&taken.exchange, None, || false), Ok(false));
    assert_eq!(app.run_if(&taken.exchange, None, || panic!("caught on purpose")), Ok(false));
    assert!(!App::is_running(&taken.exchange) && !taken.exchange.is_finished());
    let hello = get("/hello").prepare();
    assert_eq!(app.run_if(&hello.exchange, None, || true), Ok(true), "the place and the lock are free");
    world.end();
    assert!(await_line("native: back:").contains("handled=1 "));
}

/// A server side that panics when it gets output.
struct Panics;

impl Port for Panics {
    fn read_body(&self, _out: &mut [u8], _wait: Wait) -> Result<usize, Stop> {
        Ok(0)
    }

    fn room(&self, _wait: Wait) -> Result<(), Stop> {
        Ok(())
    }

    fn deliver(&self, _delivery: Delivery) -> Result<(), Stop> {
        panic!("caught on purpose, in the server's side")
    }

    fn log(&self, _level: Level, _line: &str) {}

    fn cancel(&self) {}
}

#[test]
fn a_panic_of_the_servers_side_costs_one_request() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=fenced", "threads=1"]);
    for path in ["/hello", "/fail", "/stream", "/owned"] {
        let mut variables = Fields::default();
        variables.push(b"PATH_INFO", path.as_bytes());
        variables.push(b"QUERY_STRING", b"100");
        let head = RequestHead { variables, ..RequestHead::default() };
        app.submit(&Exchange::new(head, Arc::new(Panics))).unwrap();
        assert_eq!(get("/hello").answer(&app).text(), "fenced", "after {path}");
    }
    await_line("GW0209 caught a panic in finish: caught on purpose, in the server's side");
    let counts = get("/counts").answer(&app).text();
    assert_eq!(counts, "lent=33 released=33", "the lent bytes went with the panic");
    world.end();
    assert!(await_line("native: fenced:").contains("lock=free loans=returned"));
}
