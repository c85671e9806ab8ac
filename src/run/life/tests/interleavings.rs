// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script's life through every order of events.

use super::*;

/// Everything that can happen to a life, in any order.
const EVENTS: [Event; 15] = [
    Event::Begin,
    Event::Progress,
    Event::Head,
    Event::RefusedHead,
    Event::OutputEnd,
    Event::Stderr,
    Event::StderrEnd,
    Event::End(OK),
    Event::End(ScriptEnd::HelperLost),
    Event::End(ScriptEnd::NotStarted(Failure { step: Step::Execute, errno: libc::ENOENT })),
    Event::Silence,
    Event::Time,
    Event::Leave(Extent::Whole),
    Event::Leave(Extent::Head),
    Event::Leave(Extent::Part),
];

#[derive(Clone, Copy, Debug)]
enum Event {
    Begin,
    Progress,
    Head,
    RefusedHead,
    OutputEnd,
    Stderr,
    StderrEnd,
    End(ScriptEnd),
    Silence,
    Time,
    Leave(Extent),
}

/// A life with what a server knows of it.
struct World {
    life: ScriptLife,
    now: Instant,
    begun: bool,
    ended: bool,
    left: bool,
    output_ended: bool,
    kills: usize,
    answers: usize,
    forgotten: bool,
}

impl World {
    fn new(words: &[&str]) -> Self {
        let now = Instant::now();
        let life = ScriptLife::new(&cgi(words), b"/srv/a.cgi", "GET /a".into(), now).watching_silence();
        Self {
            life,
            now,
            begun: false,
            ended: false,
            left: false,
            output_ended: false,
            kills: 0,
            answers: 0,
            forgotten: false,
        }
    }

    fn happen(&mut self, event: Event) {
        let life = &mut self.life;
        match event {
            Event::Begin => {
                life.begin(self.now);
                self.begun |= !self.left;
            }
            Event::Progress => life.handle_progress(self.now),
            Event::Head => life.handle_head(),
            Event::RefusedHead => life.handle_refused_head("no", b"x\n"),
            Event::OutputEnd => {
                life.handle_output_end(b"x\n", self.now);
                self.output_ended |= self.begun;
            }
            Event::Stderr => life.handle_stderr(b"\x07line\nrest"),
            Event::StderrEnd => life.handle_stderr_end(),
            Event::End(end) => {
                life.handle_end(end, self.now);
                self.ended |= self.begun;
            }
            Event::Silence => life.handle_silence(),
            Event::Time => self.now += Duration::from_millis(700),
            Event::Leave(extent) => {
                life.leave(extent, self.now);
                self.left = true;
            }
        }
        self.act();
    }

    /// Does what is asked for, as a server.
    fn act(&mut self) {
        for _ in 0..20 {
            match self.life.poll() {
                ScriptAction::Log(line) => {
                    let line = line.to_string();
                    assert!(line.starts_with("GW08") && !line.contains(char::is_control), "{line}");
                }
                ScriptAction::Kill => {
                    self.kills += 1;
                    assert!(self.begun && self.kills == 1, "{} kills", self.kills);
                }
                ScriptAction::Answer(status) => {
                    self.answers += 1;
                    assert!([403, 500, 502, 503, 504].contains(&status));
                    assert!(self.begun && !self.left && self.answers == 1, "{} answers", self.answers);
                }
                ScriptAction::EndOutput => {
                    assert!(self.ended && !self.left && !self.output_ended);
                    self.life.handle_output_end(&[], self.now);
                    self.output_ended = true;
                }
                ScriptAction::Drain => assert!(self.left && !self.ended && self.kills == 0),
                ScriptAction::WaitUntil(Some(at)) if at <= self.now => self.life.handle_time(self.now),
                ScriptAction::WaitUntil(_) => {
                    assert!(!self.forgotten);
                    return;
                }
                ScriptAction::Forget => {
                    assert!(self.left && (self.ended || !self.begun));
                    self.forgotten = true;
                    return;
                }
            }
        }
        panic!("it never rests");
    }

    /// Whatever has happened, a script is not forgotten before its end, and then soon.
    fn end(mut self) {
        if self.begun && !self.left && !self.life.has_head_or_answer() {
            self.happen(Event::OutputEnd);
            self.now += PATIENCE;
            self.act();
            assert_eq!(self.answers, 1, "the client is not left without an answer");
        }
        self.happen(Event::Leave(Extent::Part));
        self.now += TIMEOUT;
        self.act();
        assert!(!self.begun || self.ended || self.kills == 1, "it does not live for ever");
        self.happen(Event::End(OK));
        self.now += QUIET;
        self.act();
        assert!(self.forgotten);
    }
}

impl ScriptLife {
    fn has_head_or_answer(&self) -> bool {
        matches!(self.stage, ScriptStage::Body | ScriptStage::Answered)
    }
}

fn run(words: &[&str], events: impl IntoIterator<Item = Event>) {
    let mut world = World::new(words);
    events.into_iter().for_each(|event| world.happen(event));
    world.end();
}

#[test]
fn every_order_of_four_events_ends_well() {
    for words in [&["abort=on"][..], &["abort=off", "stderr_level=off"]] {
        let count = EVENTS.len();
        for number in 0..count.pow(4) {
            let digits = (0..4).map(|place| EVENTS[number / count.pow(place) % count]);
            run(words, std::iter::once(Event::Begin).chain(digits));
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_order_of_events_ends_well(
        events in proptest::collection::vec(0..EVENTS.len(), 0..60),
        abort in proptest::bool::ANY,
    ) {
        run(&[if abort { "abort=on" } else { "abort=off" }], events.into_iter().map(|index| EVENTS[index]));
    }
}
