// SPDX-License-Identifier: MIT OR Apache-2.0
//! environ and wsgi.input.

use super::{World, query};
use crate::host::Wish;

pub(crate) fn environ(world: &World) {
    let answer = world.run(Wish::path("/environ_types/caf\u{c3}"));
    assert_eq!((answer.status, answer.text().as_str()), (Some(200), "hello"), "{:?}", answer.log);
    let wish = Wish::path("/dump").with("HTTP_X_BYTES", b"caf\xe9 \xff").with("HTTP_X_EMPTY", "");
    let text = world.run(wish).text();
    for line in [
        "HTTP_X_BYTES='caf\u{e9} \u{ff}'",
        "HTTP_X_EMPTY=''",
        "PATH_INFO='/dump'",
        "SCRIPT_NAME=''",
        "SERVER_NAME='example.test'",
        "wsgi.multithread=True",
        "wsgi.multiprocess=False",
        "wsgi.run_once=False",
        "wsgi.url_scheme='http'",
        "wsgi.version=(1, 0)",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing in {text}");
    }
}

pub(crate) fn environ_does_not_leak(world: &World) {
    world.get("/environ_types");
    let text = world
        .run(Wish::path("/dump").with("HTTP_COOKIE", "secret=1").with("HTTP_AUTHORIZATION", "Basic x"))
        .text();
    assert!(text.contains("HTTP_COOKIE='secret=1'"));
    // The same names in the same order, other values; then without them; then more of them.
    let text =
        world.run(Wish::path("/dump").with("HTTP_COOKIE", "other").with("HTTP_AUTHORIZATION", "")).text();
    assert!(text.contains("HTTP_COOKIE='other'") && text.contains("HTTP_AUTHORIZATION=''"), "{text}");
    let text = world.get("/dump").text();
    for leak in ["COOKIE", "AUTHORIZATION", "mine", "spoilt", "secret"] {
        assert!(!text.contains(leak), "{leak} in {text}");
    }
    for index in 0..40 {
        let name = format!("HTTP_X_{index}");
        let text = world.run(Wish::path("/dump").with(&name, index.to_string())).text();
        assert!(
            text.contains(&format!("{name}='{index}'")) && text.matches("HTTP_X_").count() == 1,
            "{text}"
        );
    }
}

pub(crate) fn url_scheme(world: &World) {
    for (value, scheme) in
        [("on", "https"), ("ON", "https"), ("1", "https"), ("off", "http"), ("", "http"), ("on", "https")]
    {
        let text = world.run(Wish::path("/dump").with("HTTPS", value)).text();
        assert!(text.contains(&format!("wsgi.url_scheme='{scheme}'")), "HTTPS={value}: {text}");
    }
    // An administrator's parameter cannot replace what the engine knows.
    let text =
        world.run(Wish::path("/dump").with("wsgi.url_scheme", "gopher").with("wsgi.run_once", "x")).text();
    assert!(text.contains("wsgi.url_scheme='http'") && text.contains("wsgi.run_once=False"), "{text}");
}

pub(crate) fn validator(world: &World) {
    for wish in [
        Wish::path("/validated").post(&[b"abcdef\nrest"]),
        Wish::path("/validated").post(&[b"abc", b"def\n"]).again(),
    ] {
        let answer = world.run(wish);
        assert_eq!((answer.status, answer.text().as_str()), (Some(200), "abcdef\n"), "{:?}", answer.log);
        assert!(answer.logged("validated"));
    }
}

pub(crate) fn echo(world: &World) {
    for again in [false, true] {
        for chunked in [false, true] {
            let pieces: &[&[u8]] = &[b"one", b" two", &[b'x'; 100_000], b"end"];
            let mut wish = Wish::path("/echo").post(pieces);
            wish.always_again = again;
            if chunked {
                wish = wish.chunked();
            }
            let answer = world.run(wish);
            assert_eq!(answer.body, pieces.concat(), "again {again}, chunked {chunked}");
        }
    }
    assert_eq!(world.get("/echo").text(), "");
}

pub(crate) fn reads(world: &World) {
    let body: &[&[u8]] = &[b"line one\nli", b"ne two\nlast"];
    for (reads, want) in [
        ("read:4,read:4,read:100,read", "[b'line', b' one', b'\\nline two\\nlast', b'']"),
        ("read:-1,read:-1", "[b'line one\\nline two\\nlast', b'']"),
        ("readline,readline,readline,readline", "[b'line one\\n', b'line two\\n', b'last', b'']"),
        ("readline:3,readline:100,readline:0,readline", "[b'lin', b'e one\\n', b'', b'line two\\n']"),
        ("readlines", "[[b'line one\\n', b'line two\\n', b'last']]"),
        ("readlines:5,read", "[[b'line one\\n'], b'line two\\nlast']"),
        ("read1:3,read:8,read1", "[b'lin', b'e one\\nli', b'ne two\\nlast']"),
        ("read:0,readline,read", "[b'', b'line one\\n', b'line two\\nlast']"),
    ] {
        for chunked in [false, true] {
            let mut wish = query("/reads", reads).post(body).again();
            if chunked {
                wish = wish.chunked();
            }
            assert_eq!(world.run(wish).text(), want, "{reads}, chunked {chunked}");
        }
    }
}

pub(crate) fn lines(world: &World) {
    let long = [b"x".repeat(50_000).as_slice(), b"\n"].concat();
    let answer = world.run(Wish::path("/lines").post(&[b"a\nb\n\n", &long, b"end"]));
    let want = [b"a\n|b\n|\n|".as_slice(), &long, b"|end"].concat();
    assert_eq!(answer.body, want);
}

pub(crate) fn constant_memory(world: &World) {
    let piece = vec![b'x'; 1 << 20];
    let pieces: Vec<&[u8]> = (0..64).map(|_| piece.as_slice()).collect();
    let answer = world.run(Wish::path("/count_body").post(&pieces).chunked());
    assert_eq!(answer.text(), (64 << 20).to_string());
}

pub(crate) fn file_protocol(world: &World) {
    let answer = world.run(Wish::path("/file_protocol").post(&[b"abc", b"defgh\xc3", b"\xa9"]));
    assert_eq!(answer.text(), "(5, b'abcde', 'fgh\u{e9}', True, False)");
}

pub(crate) fn broken_body(world: &World) {
    let mut wish = Wish::path("/broken_body").post(&[b"part"]).chunked();
    wish.body_breaks = true;
    let answer = world.run(wish);
    assert_eq!(answer.text(), "OSError OSError");
}

/// What an application keeps of a request must not work on the next one of the same thread.
pub(crate) fn objects_after_the_request(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for name in ["input", "disconnected", "start_response", "write"] {
                let answer = engine.run(app, query("/keep", name).post(&[b"first"]));
                assert_eq!(answer.text(), "kept", "{name}");
                let answer = engine.run(app, query("/use_kept", name).post(&[b"second"]));
                let want = if name == "disconnected" {
                    "True"
                } else {
                    "this object belongs to a request that has ended"
                };
                assert_eq!(answer.text(), want, "{name}: {:?}", answer.log);
            }
            engine.thread_end(app);
        });
    });
}
