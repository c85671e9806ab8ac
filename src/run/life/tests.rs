// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script's life told by hand, and in [`orders`] through every order of events.

mod interleavings;

use std::path::Path;

use super::*;
use crate::{config::Parser, sys::spawner::Step};

const TIMEOUT: Duration = Duration::from_secs(60);
const OK: ScriptEnd = ScriptEnd::Exited(Exit::Status(0));

fn cgi(words: &[&str]) -> Cgi {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    Parser { base: Path::new("/"), timeout: None }.cgi(&words).unwrap()
}

fn failure(step: Step, errno: i32) -> ScriptEnd {
    ScriptEnd::NotStarted(Failure { step, errno })
}

/// A script that has begun, and when.
fn begun(words: &[&str]) -> (ScriptLife, Instant) {
    let now = Instant::now();
    let mut life = ScriptLife::new(&cgi(words), b"/srv/a.cgi", "GET /a".into(), now);
    life.begin(now);
    (life, now)
}

/// All that is to be done now, in words.
fn told(life: &mut ScriptLife) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        match life.poll() {
            ScriptAction::WaitUntil(_) => return told,
            ScriptAction::Log(line) => told.push(line.to_string()),
            ScriptAction::Forget => {
                told.push("Forget".into());
                return told;
            }
            other => told.push(format!("{other:?}")),
        }
    }
}

fn wait(life: &mut ScriptLife, since: Instant) -> Option<Duration> {
    match life.poll() {
        ScriptAction::WaitUntil(at) => at.map(|at| at - since),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_response_needs_nothing_but_to_be_forgotten() {
    let (mut life, now) = begun(&[]);
    life.handle_progress(now);
    life.handle_head();
    life.handle_output_end(&[], now);
    life.handle_stderr_end();
    assert_eq!(wait(&mut life, now), None);
    life.leave(Extent::Whole, now);
    assert_eq!(wait(&mut life, now), Some(TIMEOUT));
    life.handle_end(OK, now);
    assert_eq!(told(&mut life), ["Forget"]);
}

#[test]
fn one_that_never_began_is_forgotten_at_once() {
    let now = Instant::now();
    let mut life = ScriptLife::new(&cgi(&[]), b"/srv/a.cgi", String::new(), now);
    assert_eq!((life.has_begun(), wait(&mut life, now)), (false, None));
    life.leave(Extent::Part, now);
    assert_eq!(told(&mut life), ["Forget"]);
}

#[test]
fn an_answer_of_nothing_waits_for_its_cause() {
    let (mut life, now) = begun(&[]);
    life.handle_output_end(&[], now);
    assert!(life.awaits_cause());
    assert_eq!(wait(&mut life, now), Some(PATIENCE));
    life.handle_end(ScriptEnd::Exited(Exit::Status(3)), now);
    assert!(!life.awaits_cause());
    assert_eq!(
        told(&mut life),
        ["GW0802 /srv/a.cgi: it printed nothing; it ended with status 3", "Answer(502)"]
    );
}

#[test]
fn a_cause_that_does_not_come_is_not_waited_for_for_long() {
    let (mut life, now) = begun(&[]);
    life.handle_output_end(&[b'x'; 300], now);
    life.handle_time(now + PATIENCE);
    let start = "x".repeat(EXCERPT);
    let line = format!(
        "GW0802 /srv/a.cgi: its head has no end; it has closed its output and goes on; it began with \"{start}\""
    );
    assert_eq!(told(&mut life), [line.as_str(), "Answer(502)"]);
}

#[test]
fn causes_have_their_lines_and_statuses() {
    for (end, line, status) in [
        (failure(Step::Owner, 0), "GW0801 /srv/a.cgi: user= refuses it", 403),
        (failure(Step::Execute, libc::EACCES), "GW0801 /srv/a.cgi: it cannot be executed", 403),
        (failure(Step::Process, libc::EAGAIN), "GW0801 /srv/a.cgi: no process could be made", 503),
        (failure(Step::Limits, libc::EPERM), "GW0801 /srv/a.cgi: its limits could not be set", 500),
        (ScriptEnd::HelperLost, "GW0806 /srv/a.cgi: its helper process has ended", 502),
        (
            ScriptEnd::Exited(Exit::Signal(9)),
            "GW0802 /srv/a.cgi: it printed nothing; it was ended by SIGKILL",
            502,
        ),
    ] {
        let (mut life, now) = begun(&[]);
        life.handle_end(end, now);
        life.handle_output_end(&[], now);
        let told = told(&mut life);
        assert!(told[0].starts_with(line), "{told:?}");
        assert_eq!(told[1..], [format!("Answer({status})")], "{line}");
    }
}

#[test]
fn what_did_not_begin_is_answered_before_its_output_ends() {
    let (mut life, now) = begun(&[]);
    life.handle_end(failure(Step::Owner, 0), now);
    assert_eq!(told(&mut life).last().unwrap(), "Answer(403)");
}

#[test]
fn a_response_without_its_helper_is_cut() {
    let (mut life, now) = begun(&[]);
    life.handle_head();
    life.handle_end(ScriptEnd::HelperLost, now);
    assert_eq!(told(&mut life), [""; 0]);
    life.handle_output_end(&[], now);
    assert_eq!(told(&mut life), ["GW0806 /srv/a.cgi: its helper process has ended", "Answer(502)"]);
}

#[test]
fn silence_ends_the_script() {
    for says_head in [false, true] {
        let (mut life, now) = begun(&["timeout=1500ms"]);
        if says_head {
            life.handle_head();
        }
        life.handle_silence();
        let line =
            "GW0804 /srv/a.cgi gave no output for 1.5s; it is ended; if it needs longer, raise timeout=";
        assert_eq!(told(&mut life), [line, "Kill", "Answer(504)"]);
        life.leave(Extent::Part, now);
        assert_eq!(wait(&mut life, now), None, "its end is certain");
    }
}

#[test]
fn silence_is_counted_from_the_last_progress() {
    let (life, now) = begun(&["timeout=2s"]);
    let mut life = life.watching_silence();
    let later = now + Duration::from_secs(1);
    life.handle_progress(later);
    assert_eq!(wait(&mut life, later), Some(Duration::from_secs(2)));
    life.handle_time(now + Duration::from_secs(2));
    assert_eq!(told(&mut life), [""; 0]);
    life.handle_time(later + Duration::from_secs(2));
    assert_eq!(told(&mut life)[1..], ["Kill", "Answer(504)"]);
    let (life, now) = begun(&["timeout=off"]);
    assert_eq!(wait(&mut life.watching_silence(), now), None);
}

#[test]
fn output_that_others_hold_open_ends_when_it_is_quiet() {
    let (mut life, now) = begun(&[]);
    life.handle_head();
    life.handle_end(OK, now);
    assert_eq!(wait(&mut life, now), Some(QUIET));
    let later = now + QUIET / 2;
    life.handle_progress(later);
    life.handle_time(now + QUIET);
    assert_eq!(wait(&mut life, later), Some(QUIET));
    life.handle_time(later + QUIET);
    assert_eq!(told(&mut life), ["EndOutput"]);
    assert_eq!(wait(&mut life, now), None, "it is said once");
    life.handle_output_end(&[], later + QUIET);
    assert_eq!(told(&mut life), [""; 0]);
}

#[test]
fn lines_of_standard_error_name_a_request_that_has_left() {
    let (mut life, now) = begun(&["stderr_level=warn"]);
    life.handle_stderr(b"one\ntw");
    life.handle_head();
    life.leave(Extent::Whole, now);
    life.handle_stderr(b"o\n\x1bthree");
    life.handle_stderr_end();
    life.handle_stderr(b"four\n");
    life.handle_end(OK, now);
    let lines = ["one", "two [GET /a]", "\\x1bthree [GET /a]"];
    let expected: Vec<_> = lines.iter().map(|line| format!("GW0803 /srv/a.cgi: {line}")).collect();
    assert!(
        matches!(life.poll(), ScriptAction::Log(line) if line.level == Level::Warn && line.to_string() == expected[0])
    );
    assert_eq!(told(&mut life), [expected[1].as_str(), &expected[2], "Forget"]);
}

#[test]
fn standard_error_that_others_hold_open_is_given_up_with_its_last_words() {
    let (mut life, now) = begun(&[]);
    life.leave(Extent::Whole, now);
    life.handle_end(OK, now);
    life.handle_stderr(b"last");
    life.handle_progress(now + QUIET / 2);
    assert_eq!(told(&mut life), ["Kill"], "it had no head");
    life.handle_time(now + QUIET);
    assert_eq!(told(&mut life), ["GW0803 /srv/a.cgi: last [GET /a]", "Forget"]);
}

#[test]
fn a_script_that_goes_on_is_ended_after_its_timeout() {
    let (mut life, now) = begun(&["timeout=5s"]);
    life.handle_head();
    life.handle_output_end(&[], now);
    life.leave(Extent::Whole, now);
    let at = now + Duration::from_secs(5);
    life.handle_time(at);
    let line = "GW0804 /srv/a.cgi goes on after its output has ended, for longer than timeout=; it is ended";
    assert_eq!(told(&mut life), [line, "Kill"]);
    life.handle_time(at + TIMEOUT);
    assert_eq!(wait(&mut life, at), None, "once");
    life.handle_stderr_end();
    life.handle_end(ScriptEnd::Exited(Exit::Signal(15)), at);
    assert_eq!(told(&mut life), ["Forget"]);
}

/// How the server leaves an open output, after a good head or before it.
#[test]
fn leaving_decides_what_becomes_of_the_output() {
    for (words, has_head, extent, expected) in [
        (&["abort=on"][..], false, Extent::Whole, &["Kill"][..]),
        (&["abort=off"], false, Extent::Part, &["Kill"]),
        (&["abort=on"], true, Extent::Part, &["Kill"]),
        (&["abort=off"], true, Extent::Part, &["Drain"]),
        (&["abort=on"], true, Extent::Head, &["Drain"]),
        (&["abort=off"], true, Extent::Head, &["Drain"]),
        (&["abort=on"], true, Extent::Whole, &[]),
        (&["abort=off"], true, Extent::Whole, &["Drain"]),
    ] {
        for ends in [false, true] {
            let (mut life, now) = begun(words);
            if has_head {
                life.handle_head();
            }
            if ends {
                life.handle_end(OK, now);
            }
            life.leave(extent, now);
            let expected = if ends { &[] } else { expected };
            assert_eq!(told(&mut life), expected, "{words:?} {has_head} {extent:?} {ends}");
        }
    }
}

#[test]
fn a_refused_head_leaves_the_script_alone() {
    let (mut life, now) = begun(&[]);
    life.handle_refused_head("its output is refused", b"<p>\n");
    assert_eq!(
        told(&mut life),
        ["GW0802 /srv/a.cgi: its output is refused; it began with \"<p>\\x0a\"", "Answer(502)"]
    );
    life.leave(Extent::Part, now);
    assert_eq!(wait(&mut life, now), Some(TIMEOUT));
}
