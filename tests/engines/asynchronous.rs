// SPDX-License-Identifier: MIT OR Apache-2.0
//! An engine whose handle() returns before the answer.

use gangway::exchange::{Cause, End};

use crate::world::{World, get};

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
