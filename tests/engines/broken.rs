// SPDX-License-Identifier: MIT OR Apache-2.0
//! One broken engine per rule: each gives its own line, and every other application goes on being served.

use std::collections::BTreeSet;

use gangway::{exchange::End, runtime, runtime::Threads};

use crate::world::{World, compile, config, directory, get, lines_with};

/// An engine that the handshake refuses, the code and the words of its line.
const REFUSED: &[(&str, &str, &str)] = &[
    ("wrong_major", "GW0203", "speaks ABI 2."),
    ("wrong_major_short", "GW0203", "; install both from one release"),
    ("short_struct", "GW0204", "has a table of 104 bytes where ABI 1.0 has 112; build it with gangway.h"),
    ("zero_size", "GW0204", "has a table of 0 bytes where ABI 1.0 has 112"),
    ("null_handle", "GW0205", "has no handle, which gangway.h requires"),
    ("null_load", "GW0205", "has no load, which gangway.h requires"),
    ("null_unload", "GW0205", "has no unload, which gangway.h requires"),
    ("null_name", "GW0205", "has no name, which gangway.h requires"),
    ("enter_without_leave", "GW0205", "has no leave (it has enter), which gangway.h requires"),
    (
        "fork_child_alone",
        "GW0205",
        "has no fork_prepare (it has another of the fork functions), which gangway.h requires",
    ),
    ("run_phase_alone", "GW0205", "has no forget (it has run_phase), which gangway.h requires"),
    ("forget_alone", "GW0205", "has no run_phase (it has forget), which gangway.h requires"),
    (
        "handlers_without_phases",
        "GW0205",
        "has no run_phase (it states the interface \"handlers\"), which gangway.h requires",
    ),
    ("leave_without_enter", "GW0205", "has no enter (it has leave), which gangway.h requires"),
    (
        "statement_null",
        "GW0210",
        "states what gangway.h does not allow: the list of interfaces is NULL with a length",
    ),
    (
        "statement_word",
        "GW0210",
        "the name of an interface is \"Bad-Name\": use lower-case letters, digits and \"_\"",
    ),
    ("statement_short", "GW0210", "an option has 40 bytes where ABI 1.0 has 48; build it with gangway.h"),
    ("statement_twice", "GW0210", "it states the interface \"bad\" twice"),
    (
        "statement_target",
        "GW0210",
        "\"target\" of the interface \"bad\" is 99, which this server module does not know",
    ),
    ("statement_member", "GW0210", "\"member\" of the interface \"bad\" is NULL"),
    ("no_entry", "GW0202", "is not an engine: it does not export gw_engine_entry"),
    ("null_table", "GW0202", "refused to work with this server module (its own log line says why)"),
    ("unresolved", "GW0201", "undefined symbol: gangway_function_that_nobody_has"),
];

/// An engine that cannot load an application, and its reason.
const UNLOADABLE: &[(&str, &str)] = &[
    ("load_fails", "the flux is missing; install it"),
    ("load_fails_silently", "the engine gave no reason"),
    ("load_fails_unterminated", "a\\x0abxxxx"),
];

/// What becomes of a request.
struct Broken {
    engine: &'static str,
    /// Words that stand in the request's lines.
    lines: &'static [&'static str],
    /// Status, body and end.
    answer: (Option<u16>, &'static str, End),
}

const fn broken(
    engine: &'static str,
    lines: &'static [&'static str],
    answer: (Option<u16>, &'static str, End),
) -> Broken {
    Broken { engine, lines, answer }
}

/// Nothing has left: the server answers 500.
const NOTHING: (Option<u16>, &str, End) = (None, "", End::Failed);
/// The response was complete before the rule was broken.
const EMPTY: (Option<u16>, &str, End) = (Some(200), "", End::Complete);
const OK: (Option<u16>, &str, End) = (Some(200), "ok", End::Complete);

/// An engine that breaks a rule while it handles a request.
const BROKEN: &[Broken] = &[
    broken("ok_without_finish", &["GW0207 handle() returned 0 before finish()"], NOTHING),
    broken("again_without_flag", &["GW0207 handle() returned 1 before finish()"], NOTHING),
    broken("unknown_status", &["GW0207 handle() returned 42 before finish()"], NOTHING),
    broken(
        "finish_twice",
        &["GW0207 the engine broke its contract: finish() was called twice", "finish answered -3"],
        EMPTY,
    ),
    broken("finish_unknown", &["finish answered 0"], NOTHING),
    broken("error_after_finish", &[], OK),
    broken("write_before_start", &["GW0207", "a body write before start()", "write answered -3"], NOTHING),
    broken(
        "empty_write_before_start",
        &["GW0207", "a body write before start()", "write answered -3"],
        NOTHING,
    ),
    broken("flush_before_start", &["GW0207", "flush() before start()", "flush answered -3"], NOTHING),
    broken(
        "write_after_finish",
        &["GW0207", "a body write before start() or after finish()", "write answered -3"],
        EMPTY,
    ),
    broken("read_after_finish", &["GW0207", "read_body() after finish()", "read_body answered -3"], EMPTY),
    broken("start_after_finish", &["GW0207", "start() was called twice", "start answered -3"], EMPTY),
    broken("start_twice", &["GW0207", "start() was called twice", "start answered -3"], EMPTY),
    broken(
        "header_cr",
        &[
            "GW0501 response refused: the value of the header \"X-A\" holds control bytes: \"1\\x0dX-Forged: yes\"",
            "start answered -2",
        ],
        NOTHING,
    ),
    broken("header_lf", &["GW0501", "\"1\\x0aX-Forged: yes\"", "start answered -2"], NOTHING),
    broken("header_nul", &["GW0501", "\"1\\x002\"", "start answered -2"], NOTHING),
    broken(
        "header_name",
        &[
            "GW0501 response refused: the header name \"X-A: 1\\x0d\\x0aX-Forged\" is not a token",
            "start answered -2",
        ],
        NOTHING,
    ),
    broken(
        "header_name_null",
        &["GW0501 response refused: a header points to NULL", "start answered -2"],
        NOTHING,
    ),
    broken(
        "header_value_null",
        &["GW0501 response refused: a header points to NULL", "start answered -2"],
        NOTHING,
    ),
    broken(
        "length_negative",
        &["GW0505 response refused: Content-Length \"-1\" is not one decimal number", "start answered -2"],
        NOTHING,
    ),
    broken(
        "status_99",
        &["GW0502 response refused: status 99 is not between 200 and 599", "start answered -2"],
        NOTHING,
    ),
    broken("status_100", &["GW0502", "status 100", "start answered -2"], NOTHING),
    broken("status_600", &["GW0502", "status 600", "start answered -2"], NOTHING),
    broken(
        "reason_lf",
        &[
            "GW0501 response refused: the reason phrase \"OK\\x0aX-Forged: yes\" holds control bytes",
            "start answered -2",
        ],
        NOTHING,
    ),
    broken(
        "reason_null",
        &["GW0207", "start() with a NULL reason of some length", "start answered -3"],
        NOTHING,
    ),
    broken(
        "headers_null",
        &["GW0207", "start() with a NULL header list of some length", "start answered -3"],
        NOTHING,
    ),
    broken("write_null", &["GW0207", "write() with NULL data of some length", "write answered -3"], NOTHING),
    broken(
        "write_owned_null",
        &[
            "GW0207",
            "write_owned() with NULL data of some length",
            "write_owned answered -3",
            "release answered 0",
        ],
        NOTHING,
    ),
    broken(
        "write_owned_too_long",
        &["GW0503 the application sent 2 bytes more than its Content-Length", "write_owned answered -2"],
        OK,
    ),
    broken("read_null", &["GW0207", "read_body() without a buffer", "read_body answered -3"], NOTHING),
    broken("read_nothing", &["GW0207", "read_body() without a buffer", "read_body answered -3"], NOTHING),
    broken(
        "send_file_closed",
        &["GW0207", "send_file() of descriptor -1: Bad file descriptor", "send_file answered -3"],
        NOTHING,
    ),
    broken(
        "send_file_beyond",
        &["GW0207", "send_file() beyond the largest file", "send_file answered -3"],
        NOTHING,
    ),
    broken(
        "body_too_long",
        &[
            "GW0503 the application sent 2 bytes more than its Content-Length; they are dropped",
            "write answered -2",
        ],
        OK,
    ),
    broken(
        "body_too_short",
        &["GW0504 the application sent 1 bytes less than its Content-Length", "finish answered 0"],
        NOTHING,
    ),
    broken(
        "body_too_short_late",
        &["GW0504 the application sent 1 bytes less than its Content-Length", "finish answered 0"],
        (Some(200), "okay", End::Failed),
    ),
    broken("null_request", &[], NOTHING),
    broken("forged_log", &["one\\x0d\\x0a2026/01/01 [emerg] two\\x1b[31m"], NOTHING),
];

#[test]
fn every_broken_engine_is_listed() {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/bad")).unwrap();
    let there: BTreeSet<String> = sources
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".c").map(str::to_owned))
        .collect();
    let refused = REFUSED.iter().map(|(engine, ..)| *engine);
    let unloadable = UNLOADABLE.iter().map(|(engine, _)| *engine);
    let listed: BTreeSet<String> =
        refused.chain(unloadable).chain(BROKEN.iter().map(|rule| rule.engine)).map(str::to_owned).collect();
    assert_eq!(listed, there);
}

#[test]
fn the_handshake_refuses_and_names_the_rule() {
    let world = World::new();
    let other = world.load("good/hello", &["env=A=beside refused"]);
    for (engine, code, words) in REFUSED {
        let file = compile(&format!("bad/{engine}"));
        let app = world.load_file(file, &[], Threads::Own);
        let answer = get("/").answer(&app);
        assert_eq!(answer.summary(), (None, String::new(), Some(End::Failed)), "{engine}");
        assert!(
            answer.has_line("GW0206 the application could not be loaded"),
            "{engine}: {:?}",
            answer.lines
        );
        assert!(answer.has_line(words), "{engine}: {:?}", answer.lines);
        let lines = lines_with(&format!("/{file}"));
        assert_eq!(lines.len(), 1, "{engine}: one line: {lines:?}");
        assert!(lines[0].starts_with(code) && lines[0].contains(words), "{engine}: {lines:?}");
        assert_eq!(get("/").answer(&other).status(), Some(200), "beside {engine}");
    }
    assert!(!lines_with("null_table needs a host of version 9").is_empty(), "the engine said why");
    world.end();
}

#[test]
fn the_configuration_test_refuses_what_the_handshake_refuses() {
    World::new();
    for (engine, _, words) in REFUSED {
        // A copy: the lines of the other test are counted.
        let file = format!("checked-{engine}.so").leak();
        std::fs::copy(directory().join(compile(&format!("bad/{engine}"))), directory().join(&*file)).unwrap();
        let (index, reason) = runtime::check(&[config(file, &[])]).unwrap_err();
        assert!(index == 0 && reason.contains(words), "{engine}: {reason}");
    }
}

#[test]
fn a_file_that_is_no_shared_object_is_refused() {
    let world = World::new();
    std::fs::write(directory().join("text.so"), "not a shared object").unwrap();
    let app = world.load_file("text.so", &[], Threads::Own);
    assert_eq!(get("/").answer(&app).end, Some(End::Failed));
    let lines = lines_with("/text.so");
    assert!(lines.len() == 1 && lines[0].starts_with("GW0201 cannot open the engine"), "{lines:?}");
    world.end();
}

#[test]
fn a_load_that_fails_gives_its_reason() {
    let world = World::new();
    for (engine, reason) in UNLOADABLE {
        let app = world.load(&format!("bad/{engine}"), &[&format!("{engine}:app")]);
        let answer = get("/").answer(&app);
        assert_eq!(answer.end, Some(End::Failed), "{engine}");
        assert!(answer.has_line(&format!("could not be loaded: {reason}")), "{engine}: {:?}", answer.lines);
        let lines = lines_with(&format!("GW0206 cannot load {engine}:app: {reason}"));
        assert!(lines.len() == 1 && !lines[0].contains('\n'), "{engine}: {lines:?}");
    }
    world.end();
}

#[test]
fn a_broken_rule_costs_the_request_that_broke_it() {
    let world = World::new();
    let other = world.load("good/hello", &["env=A=beside broken"]);
    for rule in BROKEN {
        let app = world.load(&format!("bad/{}", rule.engine), &["threads=1"]);
        // Twice: the second shows that the thread and the application have survived the first.
        for round in 0..2 {
            let (status, body, end) = rule.answer;
            let client = get("/").body(b"request body").send(&app);
            let client = client
                .until(|client| client.end.is_some() && rule.lines.iter().all(|line| client.has_line(line)));
            assert_eq!(client.summary(), (status, body.into(), Some(end)), "{} {round}", rule.engine);
        }
        assert_eq!(get("/").answer(&other).status(), Some(200), "beside {}", rule.engine);
    }
    assert!(lines_with("GW0207 an engine called flush() without a request").len() == 2);
    world.end();
}
