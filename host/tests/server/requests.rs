// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests and responses.

use crate::world::{Host, Request, abort, await_that, management, more_body};

#[test]
fn a_kept_connection_serves_one_request_after_the_other() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    for id in [1, 1, 7, 65_535] {
        let response = connection.ask(&Request::new("/hello").id(id));
        assert_eq!((response.status(), response.body().as_str(), response.end), (200, "Moin", Some(0)));
    }
    let response = connection.ask(&Request::new("/hello").closing());
    assert_eq!(response.body(), "Moin");
    assert!(connection.is_closed());
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    let bytes = Request::new("/echo").with("CONTENT_LENGTH", "7").body(b"content").bytes();
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        connection.send(first);
        std::thread::yield_now();
        connection.send(second);
        assert_eq!(connection.response().body(), "content", "cut after byte {cut}");
    }
}

#[test]
fn requests_may_come_in_one_piece() {
    let host = Host::start(&["threads=2"]);
    let mut connection = host.connect();
    let one = Request::new("/echo").body(b"one").bytes();
    connection.send(&one);
    assert_eq!(connection.response().body(), "one");
    connection.send(&[one.clone(), Request::new("/hello").bytes(), one].concat());
    let bodies: Vec<_> = (0..3).map(|_| connection.response().body()).collect();
    assert_eq!(bodies, ["one", "Moin", "one"]);
}

#[test]
fn variables_reach_the_application() {
    let host = Host::start(&[]);
    let response = host.get("/variables");
    assert!(response.body().contains("PATH_INFO=/variables\n"), "{}", response.body());
    let mut connection = host.connect();
    let long = "v".repeat(70_000);
    let request = Request::new("/variables").with("HTTP_LONG", &long).with("HTTP_AUTHORIZATION", "secret");
    let body = connection.ask(&request).body();
    assert!(body.contains(&format!("HTTP_LONG={long}\n")) && !body.contains("secret"));
}

#[test]
fn bodies_are_read_as_the_application_asks() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    let large: Vec<u8> = (0..400_000u32).map(|n| b'a' + (n % 25) as u8).collect();
    let length = large.len().to_string();
    for request in [Request::new("/echo"), Request::new("/echo").with("CONTENT_LENGTH", &length)] {
        let mut stream = connection.0.try_clone().unwrap();
        let bytes = request.body(&large).bytes();
        let sender = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes).unwrap());
        let response = connection.response();
        assert!(response.output.ends_with(&large) && response.end == Some(0));
        sender.join().unwrap();
    }
    // What the application does not read is in nobody's way.
    let response = connection.ask(&Request::new("/hello").body(&large[..100_000]));
    assert_eq!(response.body(), "Moin");
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
}

#[test]
fn a_response_to_a_body_that_still_comes_is_not_lost() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    connection.send(&Request::new("/hello").closing().with("CONTENT_LENGTH", "99").unfinished().bytes());
    assert_eq!(connection.response().body(), "Moin");
    // The web server is in the middle of its body.
    connection.send(&more_body(b"still"));
    assert!(connection.is_closed());
}

#[test]
fn a_body_that_is_too_short_is_no_body() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    let response = connection.ask(&Request::new("/echo").with("CONTENT_LENGTH", "9").body(b"short"));
    assert_eq!(response.end, None, "what was echoed already is cut: {response:?}");
}

#[test]
fn heads_pass_as_they_were_given() {
    let host = Host::start(&[]);
    let response = host.get("/headers");
    assert_eq!(
        response.output,
        b"Status: 203 As It Were\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Latin-1: k\xe4se\r\n\r\n"
    );
    assert_eq!(host.get("/refused").body(), "refused");
}

#[test]
fn files_and_lent_memory_are_sent() {
    let host = Host::start(&[]);
    assert_eq!(host.get("/file").body(), "2345678");
    assert_eq!(host.get("/owned?200").body(), "o".repeat(200_000));
    assert_eq!(host.get("/counts").body(), "lent=200 released=200");
}

#[test]
fn a_head_request_has_no_body() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    let request = Request::new("/hello").with("REQUEST_METHOD", "HEAD");
    let text = connection.ask(&request).text();
    assert!(text.contains("Content-Length: 4") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn failures_are_told_with_their_lines() {
    let host = Host::start(&[]);
    let response = host.get("/fail");
    assert_eq!((response.status(), response.end), (500, Some(0)));
    assert!(response.errors.contains("failing as asked\\x0aand on one line\n"), "{}", response.errors);
    let cut = host.get("/fail-late");
    assert_eq!(
        (cut.body().as_str(), cut.end),
        ("begun", None),
        "the web server must see that something is missing"
    );
}

#[test]
fn several_run_and_wait_and_more_are_refused() {
    let host = Host::start(&["threads=2", "queue=1"]);
    let mut running: Vec<_> = (0..2).map(|_| host.connect()).collect();
    for connection in &mut running {
        connection.send(&Request::new("/echo").unfinished().bytes());
        connection.send(&more_body(b"a"));
        // It runs: the engine sends back what it has read.
        assert!(connection.record().is_some());
    }
    // One waits; which of the two is theirs to find out.
    let mut waiting: Vec<_> = (0..2).map(|_| host.connect()).collect();
    for connection in &mut waiting {
        connection.send(&Request::new("/hello").bytes());
        connection.0.set_nonblocking(true).unwrap();
    }
    let refused = await_that("one is refused", || {
        let mut byte = [0];
        waiting.iter().position(|connection| has_come(&connection.0, &mut byte))
    });
    for connection in &waiting {
        connection.0.set_nonblocking(false).unwrap();
    }
    let response = waiting[refused].response();
    assert!(response.status() == 503 && response.text().contains("Retry-After: 1"), "{response:?}");
    assert!(response.errors.contains("GW0401"), "{response:?}");
    running[0].send(&more_body(b""));
    assert_eq!(running[0].response().end, Some(0));
    assert_eq!(waiting[1 - refused].response().body(), "Moin");
    running[1].send(&more_body(b""));
    assert_eq!(running[1].response().end, Some(0));
}

/// Whether something has come.
fn has_come(stream: &std::os::unix::net::UnixStream, byte: &mut [u8; 1]) -> bool {
    use std::os::fd::AsRawFd;
    // SAFETY: one byte is writable.
    unsafe { libc::recv(stream.as_raw_fd(), byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK) == 1 }
}

#[test]
fn an_abort_ends_a_request() {
    let host = Host::start(&["threads=1"]);
    let mut connection = host.connect();
    connection.send(&Request::new("/echo").unfinished().bytes());
    connection.send(&more_body(b"a"));
    assert!(connection.record().is_some());
    connection.send(&abort());
    let _ = connection.response();
    assert_eq!(host.get("/hello").body(), "Moin", "the thread is free");
    // Before the variables are whole.
    let mut connection = host.connect();
    let begin = Request::new("/hello").bytes();
    connection.send(&begin[..16]);
    connection.send(&abort());
    assert_eq!(connection.response().end, Some(0));
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
}

#[test]
fn an_abort_reaches_a_handler_that_reads_no_more() {
    let host = Host::start(&["threads=2"]);
    let mut connection = host.connect();
    connection.send(&Request::new("/stream?1000").bytes());
    assert!(connection.record().is_some());
    connection.send(&abort());
    while let Some((kind, _, _)) = connection.record() {
        if kind == 3 {
            break;
        }
    }
}

#[test]
fn questions_are_answered() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    connection.send(&management(9, b"\x0f\0FCGI_MPXS_CONNS\x0e\0FCGI_MAX_CONNS"));
    assert_eq!(connection.record(), Some((10, 0, b"\x0f\x01FCGI_MPXS_CONNS0".to_vec())));
    connection.send(&management(99, b""));
    assert_eq!(connection.record(), Some((11, 0, vec![99, 0, 0, 0, 0, 0, 0, 0])));
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
}

#[test]
fn roles() {
    let host = Host::start(&[]);
    let mut connection = host.connect();
    assert_eq!(connection.ask(&Request::new("/hello").role(3)).end, Some(3), "a filter: FCGI_UNKNOWN_ROLE");
    assert_eq!(connection.ask(&Request::new("/hello")).body(), "Moin");
    let authorizer = Request::new("/hello").role(2).unfinished();
    assert_eq!(connection.ask(&authorizer).status(), 200);
}
