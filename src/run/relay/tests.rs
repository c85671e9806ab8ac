// SPDX-License-Identifier: MIT OR Apache-2.0
//! Responses as they are passed on, and through every order of events.

use std::{path::Path, time::Duration};

use super::*;
use crate::{
    config::Parser,
    exchange::Piece,
    sys::spawner::{Exit, Failure, Step},
};

const EXITED: ScriptEnd = ScriptEnd::Exited(Exit::Status(0));
const MOMENT: Duration = Duration::from_millis(2);

fn cgi(words: &[&str]) -> Cgi {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    Parser { base: Path::new("/"), timeout: None }.cgi(&words).unwrap()
}

fn text(delivery: Delivery) -> String {
    let mut text = delivery.head.map(|head| format!("{} ", head.status)).unwrap_or_default();
    for piece in delivery.pieces {
        let Piece::Copied(bytes) = piece else { panic!("a script's output is copied") };
        text += std::str::from_utf8(&bytes).unwrap();
    }
    match delivery.end {
        None => text,
        Some(End::Complete) => text + "|",
        Some(End::Failed | End::Passed) => text + "!",
    }
}

/// A server's side of one script.
struct World<'r> {
    relay: Relay<'r>,
    now: Instant,
    told: Vec<String>,
    wait: Option<Instant>,
}

impl<'r> World<'r> {
    fn new(runs: &'r BriefRuns, words: &[&str], file: &str, is_head: bool) -> Self {
        let now = Instant::now();
        let relay = Relay::new(&cgi(words), runs, file.as_bytes(), "GET /a".into(), is_head, now);
        Self { relay, now, told: Vec::new(), wait: None }
    }

    fn act(&mut self) {
        self.relay.handle_time(self.now);
        for _ in 0..20 {
            let text = match self.relay.poll() {
                RelayStep::WaitUntil(at) => {
                    self.wait = at;
                    return;
                }
                RelayStep::Log(line) => line.to_string(),
                RelayStep::Kill => "kill".into(),
                RelayStep::Interim(status, fields) => format!("interim {status} {}", fields.len()),
                RelayStep::Send(delivery) => {
                    self.relay.handle_sent(self.now);
                    text(delivery)
                }
                RelayStep::Finish(delivery) => text(delivery),
                RelayStep::Answer(status) => format!("answer {status}"),
                RelayStep::Redirect(target) => format!("redirect {}", String::from_utf8(target).unwrap()),
            };
            self.told.push(text);
        }
        panic!("it never rests: {:?}", self.told);
    }

    fn output(&mut self, text: &str) -> &mut Self {
        self.relay.handle_output(text.as_bytes(), self.now);
        self.act();
        self
    }

    fn ends(&mut self) -> &mut Self {
        self.relay.handle_output_end(self.now);
        self.act();
        self
    }

    fn later(&mut self, after: Duration) -> &mut Self {
        self.now += after;
        self.act();
        self
    }
}

fn told(act: impl FnOnce(&mut World<'_>)) -> Vec<String> {
    let runs = BriefRuns::default();
    let mut world = World::new(&runs, &[], "/srv/a.cgi", false);
    act(&mut world);
    world.told
}

#[test]
fn what_ends_at_once_leaves_at_once() {
    let found = told(|world| {
        world.output("Status: 201\n\nhello").ends();
    });
    assert_eq!(found, ["201 hello|"]);
}

#[test]
fn a_head_waits_for_a_moment_and_a_body_for_nothing() {
    let found = told(|world| {
        world.output("X: y\n\na").output("b");
        assert_eq!(world.told, [""; 0]);
        world.later(MOMENT).output("c").ends();
    });
    assert_eq!(found, ["200 ab", "c", "|"]);
}

#[test]
fn events_leave_at_once_and_so_does_much() {
    let found = told(|world| {
        world.output("Content-Type: text/event-stream\n\n");
    });
    assert_eq!(found, ["200 "]);
    let much = "x".repeat(64 * 1024);
    let found = told(|world| {
        world.output(&format!("X: y\n\n{much}"));
    });
    assert_eq!(found, [format!("200 {much}")]);
}

#[test]
fn interim_heads_are_passed_on() {
    let found = told(|world| {
        world.output("Status: 103\nLink: </a>\n\nStatus: 200\n\n").output("x").ends();
    });
    assert_eq!(found, ["interim 103 1", "200 x|"]);
}

#[test]
fn content_length_ends_a_response() {
    let found = told(|world| {
        world.output("Content-Length: 3\n\nab").output("c").output("d").ends();
    });
    assert_eq!(found, ["200 abc|"]);
    let found = told(|world| {
        world.output("Content-Length: 3\n\nabcd");
    });
    assert_eq!(
        found,
        ["GW0503 /srv/a.cgi writes more than its Content-Length; the rest is dropped", "200 abc|"]
    );
    let found = told(|world| {
        world.output("Content-Length: 3\n\na").ends();
    });
    assert_eq!(found, ["GW0504 /srv/a.cgi ended 2 bytes before its Content-Length", "200 a!"]);
    let found = told(|world| {
        world.output("Content-Length: 0\n\n");
    });
    assert_eq!(found, ["200 |"]);
}

#[test]
fn content_length_says_nothing_about_the_body_of_head() {
    let runs = BriefRuns::default();
    let mut world = World::new(&runs, &[], "/srv/a.cgi", true);
    world.output("Content-Length: 3\n\n").ends();
    assert_eq!(world.told, ["200 |"]);
}

#[test]
fn a_local_redirect_ends_the_script() {
    let found = told(|world| {
        world.output("Location: /b\n\nrest").ends();
    });
    assert_eq!(found, ["kill", "redirect /b"]);
}

#[test]
fn a_script_that_ends_behind_its_local_redirect_has_done_well() {
    let runs = BriefRuns::default();
    let World { mut relay, now, .. } = World::new(&runs, &[], "/srv/a.cgi", false);
    // One read gives the head, and the next one the end.
    relay.handle_output(b"Location: /b\n\n", now);
    relay.handle_output_end(now);
    relay.handle_end(EXITED, now);
    assert!(matches!(relay.poll(), RelayStep::Kill));
    assert!(matches!(relay.poll(), RelayStep::Redirect(target) if target == b"/b"));
    let mut life = relay.leave(Extent::Part, now);
    life.handle_stderr_end();
    assert_eq!(life.poll(), ScriptAction::Forget);
}

#[test]
fn heads_that_must_not_be_passed_on_are_refused() {
    let found = told(|world| {
        world.output("a: b\n").output("no head\n\n");
    });
    let line =
        "GW0802 /srv/a.cgi: the line \"no head\" has no colon; it began with \"a: b\\x0ano head\\x0a\\x0a\"";
    assert_eq!(found, [line, "answer 502"]);
    let found = told(|world| {
        world.output("Status: 999\n\n");
    });
    assert_eq!(found[1..], ["answer 502"]);
}

#[test]
fn programs_named_nph_write_http() {
    let runs = BriefRuns::default();
    let mut world = World::new(&runs, &[], "/srv/nph-a", false);
    world.output("HTTP/1.0 404 No\r\n\r\nx").ends();
    assert_eq!(world.told, ["404 x|"]);
}

#[test]
fn a_response_that_has_begun_is_cut_and_another_is_an_error() {
    let silent = "GW0804 /srv/a.cgi gave no output for 60s; it is ended; if it needs longer, raise timeout=";
    let minute = Duration::from_secs(60);
    let found = told(|world| {
        world.output("X: y\n\na").later(MOMENT).later(minute);
    });
    assert_eq!(found, ["200 a", silent, "kill", "!"]);
    assert_eq!(
        told(|world| {
            world.later(minute);
        }),
        [silent, "kill", "answer 504"]
    );
    let found = told(|world| {
        world.output("X: y\n\na").later(MOMENT);
        world.relay.handle_body_failed(400);
        world.act();
    });
    assert_eq!(found, ["200 a", "kill", "!"]);
    let found = told(|world| {
        world.relay.handle_body_failed(400);
        world.act();
    });
    assert_eq!(found, ["kill", "answer 400"]);
}

#[test]
fn output_that_others_hold_open_ends_after_a_second() {
    let found = told(|world| {
        world.output("X: y\n\na").later(MOMENT);
        world.relay.handle_end(EXITED, world.now);
        world.later(Duration::from_millis(999)).later(MOMENT);
    });
    assert_eq!(found, ["200 a", "|"]);
    let found = told(|world| {
        world.relay.handle_end(EXITED, world.now);
        world.later(Duration::from_secs(1));
    });
    assert_eq!(found, ["GW0802 /srv/a.cgi: it printed nothing; it ended with status 0", "answer 502"]);
}

#[test]
fn brief_runs_are_waited_for_as_long_as_they_are_brief() {
    let runs = BriefRuns::default();
    for _ in 0..4 {
        let mut world = World::new(&runs, &[], "/srv/a.cgi", false);
        assert!(!world.relay.waits_for_end_alone());
        world.output("X: y\n\n").ends();
    }
    let mut world = World::new(&runs, &[], "/srv/a.cgi", false);
    world.act();
    assert!(world.relay.waits_for_end_alone());
    assert_eq!(world.wait, Some(world.now + BriefRuns::BRIEF));
    world.later(BriefRuns::BRIEF);
    assert!(!world.relay.waits_for_end_alone() && !runs.is_brief());
}

#[test]
fn what_was_not_done_is_done_after_the_leave() {
    let runs = BriefRuns::default();
    let mut relay = World::new(&runs, &[], "/srv/a.cgi", false).relay;
    relay.handle_stderr(b"line\n");
    relay.handle_body_failed(400);
    let mut life = relay.leave(Extent::Part, Instant::now());
    assert!(matches!(life.poll(), ScriptAction::Log(line) if line.to_string() == "GW0803 /srv/a.cgi: line"));
    assert_eq!(life.poll(), ScriptAction::Kill);
    assert!(matches!(life.poll(), ScriptAction::WaitUntil(None)));
}

const PARTS: [&str; 6] =
    ["Content-Length: 4\n", "\n", "ab", "Status: 103\n\n", "Location: /x\n", "HTTP/1.1 200\n\nabcde"];

/// What happens: a part of output, or something else.
fn happen(world: &mut World<'_>, event: usize) {
    let now = world.now;
    match PARTS.get(event) {
        Some(part) => world.relay.handle_output(part.as_bytes(), now),
        None => match event - PARTS.len() {
            0 => world.relay.handle_output_end(now),
            1 => world.relay.handle_end(EXITED, now),
            2 => world.relay.handle_end(ScriptEnd::HelperLost, now),
            3 => {
                let failure = Failure { step: Step::Execute, errno: libc::ENOENT };
                world.relay.handle_end(ScriptEnd::NotStarted(failure), now);
            }
            4 => world.relay.handle_body_failed(400),
            5 => world.relay.handle_input(now),
            6 => world.relay.handle_stderr(b"line\nrest"),
            7 => world.relay.handle_stderr_end(),
            8 => world.now += Duration::from_millis(700),
            _ => world.now += MOMENT,
        },
    }
    world.act();
    assert!(world.wait.is_none_or(|at| at > world.now) || is_answered(world), "it never rests");
}

fn is_last(text: &str) -> bool {
    text.ends_with(['|', '!']) || text.starts_with("answer") || text.starts_with("redirect")
}

fn is_answered(world: &World<'_>) -> bool {
    world.told.iter().any(|text| is_last(text))
}

proptest::proptest! {
    /// Each client gets one answer, of one head at most, whatever happens in whatever order.
    #[test]
    fn any_order_of_events_is_one_answer(
        events in proptest::collection::vec(0..PARTS.len() + 10, 0..40),
        is_head in proptest::bool::ANY,
        is_nph in proptest::bool::ANY,
    ) {
        let runs = BriefRuns::default();
        let mut world = World::new(&runs, &[], if is_nph { "/srv/nph-a" } else { "/srv/a" }, is_head);
        events.into_iter().for_each(|event| happen(&mut world, event));
        if !is_answered(&world) {
            world.ends();
            world.later(Duration::from_secs(1));
        }
        let is_line = |text: &&String| !text.starts_with("GW") && *text != "kill";
        let answers: Vec<_> = world.told.iter().filter(is_line).collect();
        let heads = answers.iter().filter(|text| text.starts_with("200 ")).count();
        proptest::prop_assert_eq!(answers.iter().filter(|text| is_last(text)).count(), 1, "{:?}", answers);
        proptest::prop_assert!(is_last(answers.last().unwrap()) && heads <= 1, "{:?}", answers);
        let error = answers.iter().any(|text| text.starts_with("answer") || text.starts_with("redirect"));
        proptest::prop_assert!(!error || heads == 0, "{:?}", answers);
        let kills = world.told.iter().filter(|text| *text == "kill").count();
        let left = world.relay.leave(Extent::Whole, world.now).poll();
        proptest::prop_assert!(kills + usize::from(left == ScriptAction::Kill) <= 1);
    }
}
