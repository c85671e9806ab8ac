// SPDX-License-Identifier: MIT OR Apache-2.0
//! An engine whose handle() returns before the answer.

use std::time::{Duration, Instant};

use gangway::{
    exchange::{Cause, End},
    pool::Refusal,
};

use crate::world::{PATIENCE, World, get};

fn complete(text: &str) -> (Option<u16>, String, Option<End>) {
    (Some(200), text.into(), Some(End::Complete))
}

#[test]
fn a_request_is_finished_later_and_is_gone_then() {
    let world = World::new();
    let app = world.load("good/async", &["env=A=later", "threads=1"]);
    let clients: Vec<_> = (0..50).map(|_| get("/later").send(&app)).collect();
    for client in clients {
        let client = client.ended();
        assert_eq!(client.summary(), complete("later"));
        client.await_gone();
    }
    world.end();
}

#[test]
fn a_request_may_be_finished_inside_handle() {
    let world = World::new();
    let app = world.load("good/async", &["env=A=at-once"]);
    let client = get("/at-once").answer(&app);
    assert_eq!(client.summary(), complete("at once"));
    client.await_gone();
    world.end();
}

#[test]
fn a_request_that_handle_gives_up_is_finished_by_the_host() {
    let world = World::new();
    let app = world.load("good/async", &["env=A=given-up"]);
    let failed = get("/fail").answer(&app);
    assert_eq!((failed.end, failed.lines.len()), (Some(End::Failed), 0));
    failed.await_gone();
    let forgotten = get("/forget").answer(&app);
    assert_eq!(forgotten.end, Some(End::Failed));
    assert!(forgotten.has_line("GW0207 handle() returned 0 before finish()"), "{:?}", forgotten.lines);
    forgotten.await_gone();
    world.end();
}

#[test]
fn a_write_that_must_not_wait_is_whole_however_large() {
    let world = World::new();
    let app = world.load("good/async", &["env=A=large"]);
    let client = get("/large").answer(&app);
    assert_eq!((client.body.len(), client.end), (200 * 1024, Some(End::Complete)));
    world.end();
}

#[test]
fn a_body_arrives_though_nobody_waits_for_it() {
    let world = World::new();
    let app = world.load("good/async", &["env=A=body"]);
    let client = get("/body").fed(&[b"one", b"two", &[7; 2000]]).answer(&app);
    assert_eq!(client.summary(), complete("2006 bytes"));
    world.end();
}

#[test]
fn a_request_may_be_finished_while_interrupt_speaks_of_it() {
    let world = World::new();
    let app = world.load("good/async", &["env=A=parked"]);
    let client = get("/park").send(&app).until(|client| client.text() == "parked");
    client.exchange.cancel(Cause::Deadline);
    app.interrupt(&client.exchange);
    let client = client.ended();
    assert_eq!(client.end, Some(End::Failed));
    client.await_gone();
    assert_eq!(get("/later").answer(&app).summary(), complete("later"));
    world.end();
}

#[test]
fn an_engine_with_a_loop_is_told_when_a_body_comes() {
    let world = World::new();
    let app = world.load_native("good/loop", &["in_flight=100"]);
    assert_eq!(get("/body").body(&[7; 3000]).answer(&app).summary(), complete("3000 bytes"));
    let parts = get("/body").fed(&[b"one", b"two", &[7; 2000]]).answer(&app);
    assert_eq!(parts.summary(), complete("2006 bytes"));
    parts.await_gone();
    world.end();
}

#[test]
fn an_engine_with_a_loop_is_told_when_there_is_room() {
    let world = World::new();
    let app = world.load_native("good/loop", &[]);
    // Nobody takes anything at first.
    let slow = get("/flood").send(&app);
    assert_eq!(get("/").answer(&app).summary(), complete("from the loop"), "the loop has not waited");
    let slow = slow.ended();
    assert_eq!((slow.body.len(), slow.end), (32 * 65536, Some(End::Complete)));
    slow.await_gone();
    world.end();
}

#[test]
fn an_engine_with_a_loop_is_told_when_nobody_wants_the_rest() {
    let world = World::new();
    let app = world.load_native("good/loop", &[]);
    let client = get("/linger").send(&app).until(|client| client.text() == "begun");
    client.exchange.cancel(Cause::ClientGone);
    let client = client.ended();
    assert_eq!(client.end, Some(End::Failed));
    assert!(client.has_line("was told that it is over"), "{:?}", client.lines);
    client.await_gone();
    world.end();
}

#[test]
fn so_many_requests_are_in_flight_and_so_many_wait() {
    let world = World::new();
    let app = world.load_native("good/loop", &["in_flight=1", "queue=1"]);
    let first = get("/linger").send(&app).until(|client| client.text() == "begun");
    let second = get("/").send(&app);
    let third = get("/").prepare();
    assert_eq!(third.submit(&app), Err(Refusal::Full));
    assert_eq!(app.waiting(), 1);
    first.exchange.cancel(Cause::ClientGone);
    let first = first.ended();
    assert_eq!(second.ended().summary(), complete("from the loop"), "it has the place of the first one");
    first.await_gone();
    let gone = get("/linger").send(&app).until(|client| client.text() == "begun");
    let waits = get("/").send(&app);
    assert!(app.withdraw(&waits.exchange), "who leaves gives its place up");
    gone.exchange.cancel(Cause::ClientGone);
    gone.ended().await_gone();
    world.end();
}

#[test]
fn requests_at_the_end_of_the_process_are_cancelled() {
    let world = World::new();
    let app = world.load_native("good/loop", &["in_flight=1"]);
    let running = get("/linger").send(&app).until(|client| client.text() == "begun");
    let waiting = get("/").send(&app);
    drop(app);
    world.stop(Duration::from_millis(500));
    assert_eq!(running.ended().end, Some(End::Failed));
    assert_eq!(waiting.ended().end, Some(End::Failed));
}

#[test]
fn one_thread_reads_while_another_one_waits_for_the_client() {
    let world = World::new();
    let app = world.load("good/duplex", &[]);
    let mut client = get("/").room(4096).fed(&[]).send(&app);
    client.await_blocked();
    // Nothing of the response is taken before the whole body has been read.
    let mut parts = 8;
    let deadline = Instant::now() + PATIENCE;
    while !client.has_line("read 8000 bytes") {
        assert!(Instant::now() < deadline, "who reads waits for who writes");
        if !client.channel.wants_body() {
            client.posted_within(Duration::from_millis(10));
        } else if parts > 0 {
            client.channel.feed(&[b'x'; 1000]);
            parts -= 1;
        } else {
            client.channel.end_body(true);
        }
    }
    assert!(client.end.is_none() && client.body.is_empty());
    // What waits has been told of already.
    let taken = client.take();
    client.channel.sent(taken);
    let client = client.ended();
    assert_eq!((client.body.len(), client.end), (64 * 4096, Some(End::Complete)));
    client.await_gone();
    world.end();
}
