// SPDX-License-Identifier: MIT OR Apache-2.0
//! Web servers that leave, are slow, or are none.

use std::{net::Shutdown, os::unix::net::UnixStream};

use crate::world::{Host, Request, await_that, more_body};

#[test]
fn a_web_server_that_leaves_frees_the_thread() {
    let host = Host::start(&["threads=1"]);
    for path in ["/echo", "/stream?100000"] {
        let mut connection = host.connect();
        connection.send(&Request::new(path).unfinished().bytes());
        connection.send(&more_body(b"a"));
        assert!(connection.record().is_some());
        drop(connection);
        assert_eq!(host.get("/hello").body(), "Moin", "after {path}");
    }
}

#[test]
fn a_request_whose_web_server_has_left_is_not_run() {
    let host = Host::start(&["threads=1"]);
    let mut running = host.connect();
    running.send(&Request::new("/echo").unfinished().bytes());
    running.send(&more_body(b"a"));
    assert!(running.record().is_some());
    for _ in 0..20 {
        let mut left = host.connect();
        left.send(&Request::new("/hello").bytes());
    }
    running.send(&more_body(b""));
    assert_eq!(running.response().end, Some(0));
    assert_eq!(host.get("/hello").body(), "Moin");
}

#[test]
fn what_is_no_fastcgi_is_closed() {
    let host = Host::start(&[]);
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 64],
        &[0xff; 64],
        // FCGI_BEGIN_REQUEST of another length, FCGI_STDOUT from a web server.
        &[1, 1, 0, 1, 0, 3, 0, 0, 1, 2, 3],
        &[1, 6, 0, 1, 0, 0, 0, 0],
    ] {
        let mut connection = host.connect();
        connection.send(garbage);
        assert!(connection.is_closed(), "{garbage:?}");
    }
    assert_eq!(host.get("/hello").body(), "Moin");
    assert!(host.log().contains("GW0508"), "{}", host.log());
}

#[test]
fn variables_are_bounded() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    let mut request = Request::new("/hello");
    for number in 0..40 {
        request = request.with(&format!("HTTP_X{number}"), &"v".repeat(40_000));
    }
    let mut stream = connection.0.try_clone().unwrap();
    let bytes = request.bytes();
    let sender = std::thread::spawn(move || {
        // The error is that the host closes.
        let _ = std::io::Write::write_all(&mut stream, &bytes);
    });
    let response = connection.response();
    assert_eq!((response.status(), response.end), (431, Some(0)));
    sender.join().unwrap();
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
}

#[test]
fn defects_are_answered() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    assert_eq!(connection.ask(&Request::new("/hello").with("CONTENT_LENGTH", "x")).status(), 400);
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
    assert!(host.log().contains("CONTENT_LENGTH is not one decimal number"), "{}", host.log());
}

#[test]
fn a_slow_web_server_keeps_nobody_waiting() {
    let host = Host::start(&["threads=1"]);
    let bytes = Request::new("/hello").bytes();
    let mut slow: Vec<_> = (1..bytes.len().min(100)).map(|cut| (cut, host.connect())).collect();
    for (cut, connection) in &mut slow {
        connection.send(&bytes[..*cut]);
        assert_eq!(host.get("/hello").body(), "Moin");
    }
    for (cut, connection) in &mut slow {
        connection.send(&bytes[*cut..]);
        assert_eq!(connection.response().body(), "Moin");
    }
}

#[test]
fn a_web_server_that_does_not_read_takes_no_place() {
    let host = Host::start(&["threads=1"]);
    let mut slow = host.connect();
    slow.send(&Request::new("/owned?250").bytes());
    assert_eq!(host.get("/hello").body(), "Moin", "its response waits for room, and no thread with it");
    assert_eq!(slow.response().body().len(), 250_000);
    assert_eq!(slow.ask(&Request::new("/hello")).body(), "Moin");
}

#[test]
fn nothing_stays_of_connections() {
    let host = Host::start(&["threads=2"]);
    assert_eq!(host.get("/hello").body(), "Moin");
    let before = await_that("the first connection is closed", || {
        let count = host.descriptors();
        (count < 30).then_some(count)
    });
    for round in 0..200 {
        let mut connection = host.connect();
        let bytes = Request::new("/owned?100").bytes();
        match round % 4 {
            0 => connection.send(&bytes),
            1 => connection.send(&bytes[..20]),
            2 => drop(connection.0.shutdown(Shutdown::Write)),
            _ => assert_eq!(connection.ask(&Request::new("/file").closing()).body(), "2345678"),
        }
    }
    await_that("all descriptors are closed", || (host.descriptors() <= before).then_some(()));
    assert_eq!(host.get("/counts").status(), 200, "all that was lent has been released");
}

#[test]
fn half_a_connection_is_none() {
    let host = Host::start(&[]);
    let stream = UnixStream::connect(host.socket()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut connection = host.connect();
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
}
