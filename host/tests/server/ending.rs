// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals, deadlines, and what is finished.

use std::time::{Duration, Instant};

use crate::world::{Host, Request, await_that, more_body};

#[test]
fn a_signal_ends_what_is_idle_at_once() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut host = Host::start(&[]);
        let mut idle = host.connect();
        assert_eq!(idle.ask(&Request::new("/hello")).body(), "Moin");
        let start = Instant::now();
        host.signal(signal);
        assert!(idle.is_closed());
        assert!(host.end().success());
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(!host.socket().exists());
    }
}

#[test]
fn running_and_waiting_requests_are_finished() {
    let mut host = Host::start(&["threads=1"]);
    let mut running = host.connect();
    running.send(&Request::new("/echo").unfinished().bytes());
    running.send(&more_body(b"a"));
    assert!(running.record().is_some());
    let mut waiting = host.connect();
    waiting.send(&Request::new("/hello").bytes());
    // It waits in the queue once it has been read.
    await_that("the request has been read", || waiting.is_read().then_some(()));
    host.signal("TERM");
    await_that("no more connections are taken", || host.log().contains("SIGTERM").then_some(()));
    running.send(&more_body(b"b"));
    running.send(&more_body(b""));
    let response = running.response();
    assert!(response.end == Some(0) && response.text().ends_with('b'), "{response:?}");
    assert_eq!(waiting.response().body(), "Moin");
    assert!(running.is_closed() && waiting.is_closed());
    assert!(host.end().success());
}

#[test]
fn the_end_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::world::program();
    command.arg("--drain=2").arg("--listen").arg(format!("unix:{}", folder.path().join("socket").display()));
    command.arg("native").arg(crate::world::engine()).arg("threads=1");
    let mut host = Host::launch(folder, command, |_| {});
    let mut running = host.connect();
    running.send(&Request::new("/echo").unfinished().bytes());
    running.send(&more_body(b"a"));
    assert!(running.record().is_some());
    let start = Instant::now();
    host.signal("TERM");
    host.end();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(8)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert!(host.log().contains("GW0208"), "{}", host.log());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut host = Host::start(&["threads=1"]);
    let mut running = host.connect();
    running.send(&Request::new("/echo").unfinished().bytes());
    running.send(&more_body(b"a"));
    assert!(running.record().is_some());
    let start = Instant::now();
    host.signal("TERM");
    await_that("the first one is seen", || host.log().contains("SIGTERM").then_some(()));
    host.signal("TERM");
    host.end();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn requests_wait_for_their_turn_no_longer_than_their_timeout() {
    let host = Host::start(&["threads=1", "timeout=500ms"]);
    let mut running = host.connect();
    running.send(&Request::new("/echo").unfinished().bytes());
    running.send(&more_body(b"a"));
    assert!(running.record().is_some());
    // It waits for its web server, which is no silence of the application.
    let response = host.get("/hello");
    assert_eq!(response.status(), 504);
    assert!(response.errors.contains("GW0405"), "{response:?}");
    running.send(&more_body(b""));
    assert_eq!(running.response().end, Some(0));
}
