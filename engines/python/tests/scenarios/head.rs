// SPDX-License-Identifier: MIT OR Apache-2.0
//! start_response and write.

use gangway_abi::ffi::{GW_ERROR, GW_OK};

use super::{World, query};
use crate::host::Wish;

pub(crate) fn passed_on(world: &World) {
    let headers =
        "('404 Not Found', [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2'), ('X-Latin', 'caf\\xe9')])";
    let answer = world.run(query("/head", headers));
    assert_eq!((answer.status, answer.reason.as_str()), (Some(404), "Not Found"));
    assert_eq!(answer.header("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.header("x-latin"), ["caf\u{e9}"]);
    assert_eq!(answer.header("content-length"), ["4"]);
    let answer = world.run(query("/head", "('200 ', [])"));
    assert_eq!((answer.status, answer.reason.as_str()), (Some(200), ""));
}

pub(crate) fn rules(world: &World) {
    for (arguments, reason) in [
        ("('200', [])", "the status must be three digits"),
        ("(200, [])", "the status must be str, not int"),
        ("(b'200 OK', [])", "the status must be str, not bytes"),
        ("('OK', [])", "the status must be three digits"),
        ("('099 Low', [])", "is not between 200 and 599"),
        ("('101 Switching Protocols', [])", "is not between 200 and 599"),
        ("('200 a\\r\\nX: y', [])", "the status holds a control character"),
        ("('200 OK', ())", "the headers must be a list of tuples, not tuple"),
        ("('200 OK', {})", "the headers must be a list of tuples, not dict"),
        ("('200 OK', [['a', 'b']])", "a header must be a tuple (name, value), not ['a', 'b']"),
        ("('200 OK', [('a',)])", "a header must be a tuple (name, value)"),
        ("('200 OK', [('a', 1)])", "a header value must be str, not int"),
        ("('200 OK', [(b'a', 'b')])", "a header name must be str, not bytes"),
        ("('200 OK', [('a b', 'c')])", "holds a character that no header name may have"),
        ("('200 OK', [('a:', 'c')])", "holds a character that no header name may have"),
        ("('200 OK', [('', 'c')])", "holds a character that no header name may have"),
        ("('200 OK', [('a', 'b\\r\\nSet-Cookie: c')])", "holds a control character"),
        ("('200 OK', [('a', 'b\\n')])", "holds a control character"),
        ("('200 OK', [('a', 'b\\0')])", "holds a control character"),
        ("('200 OK', [('a', '\\u2603')])", "holds a character that latin-1 does not have"),
        ("('200 OK', [('a', '\\udcff')])", "holds a character that latin-1 does not have"),
        ("('200 OK', [('Content-Length', 'x')])", "is not one decimal number given once"),
        (
            "('200 OK', [('Content-Length', '4'), ('content-length', '5')])",
            "is not one decimal number given once",
        ),
    ] {
        let answer = world.run(query("/head", arguments));
        assert_eq!((answer.finished, answer.status), (Some(GW_ERROR), None), "{arguments}");
        assert!(answer.logged(reason), "{arguments}: {:?}", answer.log);
        assert!(answer.logged("GW0306"), "{arguments}: {:?}", answer.log);
    }
    // The application may catch the refusal and answer differently.
    let answer = world.get("/caught");
    assert_eq!(
        (answer.status, answer.header("x-good"), answer.header("x-bad")),
        (Some(200), vec!["yes"], vec![])
    );
}

pub(crate) fn second(world: &World) {
    let answer = world.get("/second_start");
    assert_eq!(answer.finished, Some(GW_ERROR));
    assert!(answer.logged("a second time without exc_info"));
}

pub(crate) fn exc_info(world: &World) {
    let answer = world.get("/replaced");
    assert_eq!(
        (answer.status, answer.reason.as_str(), answer.text().as_str()),
        (Some(500), "Oops", "replaced")
    );
    assert_eq!(answer.header("content-type"), Vec::<&str>::new());
    let answer = world.get("/too_late");
    assert_eq!((answer.status, answer.finished), (Some(200), Some(GW_ERROR)));
    assert_eq!(answer.text(), "sent");
    assert!(answer.logged("KeyError: 'the original'"), "{:?}", answer.log);
    assert!(answer.logged("GW0307"));
}

pub(crate) fn never_started(world: &World) {
    let answer = world.get("/never_started");
    assert_eq!((answer.finished, answer.status), (Some(GW_ERROR), None));
    assert!(answer.logged("GW0308"), "{:?}", answer.log);
    let answer = world.get("/started_late");
    assert_eq!((answer.status, answer.text().as_str(), answer.finished), (Some(200), "late", Some(GW_OK)));
}

pub(crate) fn write_callable(world: &World) {
    for wish in [Wish::path("/write_callable"), Wish::path("/write_callable").again()] {
        let answer = world.run(wish);
        assert_eq!(answer.text(), "one two three");
        assert_eq!(answer.events, ["head", "write 4 flush", "write 4 flush", "write 5", "finish 0"]);
        assert!(answer.header("content-length").is_empty(), "the head left before the length was known");
    }
    let answer = world.get("/write_str");
    assert!(answer.logged("write() takes bytes, not str"));
}

pub(crate) fn refused_by_the_host(world: &World) {
    let answer = world.run(query("/head", "('200 OK', [('X-Host-Refuses', 'x')])"));
    assert_eq!((answer.finished, answer.status), (Some(GW_ERROR), None));
    assert!(answer.logged("GW0312"), "{:?}", answer.log);
}
