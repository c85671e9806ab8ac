// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an application returns, and how it leaves.

use std::time::{Duration, Instant};

use gangway_abi::ffi::{GW_ERROR, GW_OK};

use super::{World, query};
use crate::host::{Wish, take_log};

pub(crate) fn hello(world: &World) {
    let answer = world.get("/hello");
    assert_eq!((answer.status, answer.text().as_str(), answer.returned), (Some(200), "hello", GW_OK));
    assert_eq!(answer.header("content-length"), ["5"]);
    assert_eq!(answer.events, ["head", "write 5", "finish 0"]);
    assert!(answer.log.is_empty(), "{:?}", answer.log);
}

pub(crate) fn lists(world: &World) {
    let answer = world.get("/pair");
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("onetwo", vec!["6"]));
    assert_eq!(answer.events, ["head", "write 3", "write 3", "finish 0"]);
    let answer = world.get("/empty_list");
    assert_eq!(answer.events, ["head", "finish 0"]);
    assert_eq!(answer.header("content-length"), ["0"]);
}

pub(crate) fn generators(world: &World) {
    let answer = world.get("/generator");
    assert_eq!(answer.events, ["head", "write 3 flush", "write 3 flush", "finish 0"]);
    assert!(answer.header("content-length").is_empty());
    let answer = world.get("/empty_generator");
    assert_eq!(
        (answer.events, answer.finished),
        (vec!["head".to_owned(), "finish 0".to_owned()], Some(GW_OK))
    );
    world.app_events();
    let answer = world.run(Wish::path("/iterator_object").again());
    assert_eq!(answer.text(), "onetwo");
    assert_eq!(world.app_events(), "block block close");
}

pub(crate) fn wrong_iterables(world: &World) {
    for (value, reason) in [
        ("'text'", "it returned str itself"),
        ("b'bytes'", "it returned bytes itself"),
        ("None", "it returned NoneType, which is not iterable"),
        ("42", "it returned int, which is not iterable"),
        ("['text']", "a block of its response is str, not bytes; encode it"),
        ("[b'a', 1]", "a block of its response is int, not bytes"),
        ("(bytearray(b'x'),)", "a block of its response is bytearray, not bytes"),
        ("iter(['text'])", "a block of its response is str, not bytes; encode it"),
    ] {
        let answer = world.run(query("/returns", value));
        assert_eq!((answer.finished, answer.status), (Some(GW_ERROR), None), "{value}");
        assert!(answer.logged("GW0309") && answer.logged(reason), "{value}: {:?}", answer.log);
    }
}

pub(crate) fn head_requests(world: &World) {
    let answer = world.run(Wish::path("/hello").head());
    assert_eq!((answer.header("content-length"), answer.text().as_str()), (vec!["5"], ""));
    let answer = world.run(Wish::path("/empty_list").head());
    assert!(
        answer.header("content-length").is_empty(),
        "GET may have a body that this answer knows nothing of"
    );
    let answer = world.run(Wish::path("/generator").head());
    assert_eq!(answer.finished, Some(GW_OK));
}

pub(crate) fn without_body(world: &World) {
    for status in ["204 No Content", "304 Not Modified"] {
        let answer = world.run(query("/empty_list", status));
        assert_eq!(
            (answer.events, answer.headers.len()),
            (vec!["head".to_owned(), "finish 0".to_owned()], 1)
        );
        let answer = world.run(query("/head", &format!("('{status}', [])")));
        assert_eq!(answer.events, ["head", "finish 0"], "a body that may not be is not sent");
    }
}

pub(crate) fn content_length(world: &World) {
    world.app_events();
    let answer = world.get("/too_much");
    assert_eq!((answer.text().as_str(), answer.finished), ("abcde", Some(GW_OK)));
    assert_eq!(world.app_events(), "block block close", "the third block is not asked for");
}

pub(crate) fn large_blocks(world: &World) {
    for wish in [Wish::path("/large"), Wish::path("/large").again()] {
        let answer = world.run(wish);
        assert_eq!(answer.body.len(), 120_000);
        assert_eq!(answer.events, ["head", "owned 100000 flush", "owned 20000 flush", "finish 0"]);
    }
}

pub(crate) fn references_come_back(world: &World) {
    // Small enough to wait for the next request.
    world.run(query("/tracked", "20000"));
    assert_eq!(world.get("/tracked_alive").text(), "0");
    // Large enough to be freed without one: the thread that does it is waited for by asking again.
    world.run(query("/tracked", "1000000"));
    assert_eq!(world.get("/tracked_alive").text(), "0");
    // Refused borrows come back at once.
    let gone = query("/tracked", "1000000").leaves_after(0);
    world.run(gone);
    assert_eq!(world.get("/tracked_alive").text(), "0");
}

/// An idle worker must not hold the last large response until its next request.
pub(crate) fn freed_without_a_request(world: &World) {
    let app = world.app("application");
    take_log();
    world.run_app(app, query("/loud", "1000000"));
    let end = Instant::now() + Duration::from_secs(20);
    while !take_log().iter().any(|(_, line)| line == "freed 1000000") {
        assert!(Instant::now() < end, "the response is still held");
        std::thread::yield_now();
    }
}

pub(crate) fn client_leaves(world: &World) {
    world.app_events();
    for again in [false, true] {
        let mut wish = Wish::path("/endless").leaves_after(2500);
        wish.always_again = again;
        let answer = world.run(wish);
        assert_eq!((answer.finished, answer.returned), (None, GW_ERROR));
        assert_eq!(answer.body.len(), 3000);
        assert_eq!(world.app_events(), "block block block block close");
        assert!(answer.log.is_empty(), "{:?}", answer.log);
    }
    let answer = world.run(Wish::path("/raises_when_gone").leaves_after(50));
    assert!(answer.log.iter().all(|(level, _)| *level == 4), "{:?}", answer.log);
    assert!(answer.logged("GW0311"));
}

pub(crate) fn files(world: &World) {
    let content = b"0123456789".repeat(1000);
    let answer = world.get("/file");
    assert_eq!(
        (answer.events.as_slice(), answer.header("content-length")),
        (["head", "file 10000", "finish 0"].map(str::to_owned).as_slice(), vec!["10000"])
    );
    assert_eq!(answer.body, content);
    let answer = world.run(query("/file", "9995").again());
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("56789", vec!["5"]));
    let answer = world.run(query("/file", "20000"));
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("", vec!["0"]));
    let answer = world.get("/file_with_length");
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("012345678901234", vec!["15"]));
    let answer = world.get("/file_read_before");
    assert_eq!((answer.body.as_slice(), answer.events[1].as_str()), (&content[3..], "file 9997"));
    let answer = world.get("/named_file");
    assert_eq!(answer.events, ["head", "file 5", "finish 0"]);
    let answer = world.run(Wish::path("/file").head());
    assert_eq!(answer.header("content-length"), ["10000"]);
}

pub(crate) fn other_files(world: &World) {
    world.app_events();
    let answer = world.get("/memory_file");
    assert_eq!(answer.text(), "in memory");
    assert_eq!(answer.events, ["head", "write 4 flush", "write 4 flush", "write 1 flush", "finish 0"]);
    assert_eq!(world.app_events(), "file closed");
    assert_eq!(world.get("/gzip_file").text(), "unpacked");
    assert_eq!(world.get("/iterated_file").text(), "abcd|ef");
    assert_eq!(world.get("/closeless_file").text(), "ab");
    assert_eq!(world.get("/pipe_file").text(), "through a pipe");
}
