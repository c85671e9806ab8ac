// SPDX-License-Identifier: MIT OR Apache-2.0
//! The complete engine in C does everything that a blocking engine can do.

use gangway::exchange::{Cause, End};

use crate::world::{World, await_line, get, lines_with};

#[test]
fn the_smallest_engine_answers() {
    let world = World::new();
    let app = world.load("good/hello", &[]);
    let answer = get("/").answer(&app);
    assert_eq!(answer.summary(), (Some(200), "Hello from C\n".into(), Some(End::Complete)));
    assert!(answer.lines.is_empty(), "{:?}", answer.lines);
    world.end();
}

#[test]
fn options_reach_the_engine_in_order() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=Moin", "env=B=2", "threads=2", "debug=on"]);
    assert_eq!(get("/options").answer(&app).text(), "env=GREETING=Moin\nenv=B=2\ndebug=on\n");
    let hello = get("/hello").traced().answer(&app);
    assert_eq!((hello.text(), hello.head.unwrap().content_length), ("Moin".into(), Some(4)));
    assert_eq!(
        hello.lines.first().map(String::as_str),
        Some("/hello"),
        "debug=on logs the path with the request"
    );
    assert!(get("/hello").answer(&app).lines.is_empty(), "the log of this one is not at debug");
    world.end();
}

#[test]
fn variables_reach_the_engine() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=variables"]);
    let answer = get("/variables").with("QUERY_STRING", "").with("HTTP_X", "a=b").answer(&app);
    assert_eq!(answer.text(), "REQUEST_METHOD=GET\nPATH_INFO=/variables\nQUERY_STRING=\nHTTP_X=a=b\n");
    world.end();
}

#[test]
fn a_body_comes_back() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=bodies"]);
    let large: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let answer = get("/echo").body(&large).answer(&app);
    assert!(answer.body == large && answer.end == Some(End::Complete));
    let answer = get("/echo").fed(&[b"one ", b"", b"two ", &large[..9000]]).answer(&app);
    assert!(answer.body == [b"one two ", &large[..9000]].concat());
    assert_eq!(get("/echo").answer(&app).summary(), (Some(200), String::new(), Some(End::Complete)));
    world.end();
}

#[test]
fn heads_pass_in_order_and_without_the_connections_own() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=heads"]);
    let answer = get("/headers").answer(&app);
    let head = answer.head.unwrap();
    assert_eq!((head.status, head.reason.as_slice()), (203, &b"As It Were"[..]));
    let fields: Vec<_> = head.fields.iter().collect();
    assert_eq!(
        fields,
        [(&b"Set-Cookie"[..], &b"a=1"[..]), (b"Set-Cookie", b"b=2"), (b"X-Latin-1", b"k\xe4se")]
    );
    world.end();
}

#[test]
fn a_refused_head_can_be_replaced() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=refusals"]);
    let answer = get("/refused").answer(&app);
    assert_eq!(answer.summary(), (Some(500), "refused".into(), Some(End::Complete)));
    assert!(answer.has_line("GW0501 response refused"), "{:?}", answer.lines);
    world.end();
}

#[test]
fn a_file_is_sent_from_its_descriptor() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=files"]);
    assert_eq!(get("/file").answer(&app).summary(), (Some(200), "2345678".into(), Some(End::Complete)));
    world.end();
}

#[test]
fn a_failure_before_the_head_leaves_nothing() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=failures"]);
    let answer = get("/fail").answer(&app);
    assert_eq!(answer.summary(), (None, String::new(), Some(End::Failed)));
    assert_eq!(answer.lines, ["failing as asked\\x0aand on one line"]);
    let answer = get("/fail-late").answer(&app);
    assert_eq!(answer.summary(), (Some(200), "begun".into(), Some(End::Failed)));
    assert_eq!(get("/unknown").answer(&app).summary(), (Some(404), String::new(), Some(End::Complete)));
    world.end();
}

#[test]
fn lent_bytes_come_back_once_on_every_path() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=loans", "threads=2"]);
    let owned = |count: &str| get("/owned").with("QUERY_STRING", count);

    let answer = owned("100").answer(&app);
    assert_eq!((answer.body.len(), answer.end), (100_000, Some(End::Complete)));
    let short = owned("3").with("HTTP_WANTED_LENGTH", "1500").answer(&app);
    assert_eq!(short.summary(), (None, String::new(), Some(End::Failed)), "refused before anything left");
    assert!(short.has_line("GW0503"), "{:?}", short.lines);
    assert_eq!(
        owned("100").head_only().answer(&app).summary(),
        (Some(200), String::new(), Some(End::Complete))
    );
    let left = owned("100000").room(5000).send(&app);
    left.await_blocked();
    left.exchange.cancel(Cause::ClientGone);
    left.ended().await_gone();

    let counts = get("/counts").answer(&app).text();
    let (lent, released) = counts.split_once(' ').unwrap();
    assert_eq!(lent.strip_prefix("lent="), released.strip_prefix("released="), "{counts}");
    world.end();
    assert!(await_line("native: loans:").contains("loans=returned"));
}

#[test]
fn a_slow_client_holds_the_handler_and_not_memory() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=slow"]);
    let mut client = get("/stream").with("QUERY_STRING", "1000").room(10_000).send(&app);
    client.await_blocked();
    let first = client.take();
    assert_eq!(first, 10_000, "what waits is the room, in whole writes");
    assert!(client.channel.has_outstanding());
    assert_eq!(client.take(), 0, "taken is not sent: the handler goes on waiting");
    client.channel.sent(first);
    client.await_blocked();
    assert_eq!(client.take(), 10_000);
    client.exchange.cancel(Cause::ClientGone);
    let client = client.ended();
    assert_eq!(client.end, Some(End::Failed), "a waiting handler learns of the cancellation");
    client.await_gone();
    world.end();
}

#[test]
fn an_interrupted_handler_may_hold_the_lock_that_interrupt_wants() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=interrupted", "threads=1"]);
    let client = get("/stubborn").send(&app).until(|client| client.head.is_some());
    client.exchange.cancel(Cause::Deadline);
    app.interrupt(&client.exchange);
    let client = client.ended();
    assert_eq!(client.end, Some(End::Failed));
    let client = client.until(|client| client.has_line("interrupted in /stubborn"));
    assert_eq!(get("/hello").answer(&app).text(), "interrupted", "the thread goes on with the next request");
    app.interrupt(&client.exchange);
    client.await_gone();
    world.end();
    assert!(await_line("native: interrupted:").contains("lock=free"));
}

#[test]
fn threads_end_before_the_application() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=ends", "threads=3"]);
    for _ in 0..20 {
        get("/hello").answer(&app);
    }
    world.end();
    let line = await_line("native: ends:");
    assert!(line.ends_with("handled=20 threads=3 lock=free loans=returned"), "{line}");
    assert_eq!(lines_with("native: ends:").len(), 1, "unloaded once");
}

#[test]
fn one_file_runs_several_applications() {
    let world = World::new();
    let one = world.load("good/native", &["env=GREETING=one"]);
    let other = world.load("good/native", &["env=GREETING=other"]);
    let same = world.load("good/native", &["env=GREETING=one"]);
    assert!(std::sync::Arc::ptr_eq(&one, &same), "the same words share an application");
    assert_eq!(get("/hello").answer(&one).text(), "one");
    assert_eq!(get("/hello").answer(&other).text(), "other");
    world.end();
}
