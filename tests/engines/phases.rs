// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of phases in C, with a transaction in memory.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use gangway::{
    engine::{PhaseCall, PhaseState, tell_servers},
    exchange::Stop,
    log::Level,
    phases::{
        Change, Fact, FilterRead, Handler, Number, PhaseAnswer, PlaceWords, RequestFacts, RequestPhase,
        Table, Transaction,
    },
    runtime::{Application, Threads},
};

use crate::world::{World, compile};

/// A request as no server has it.
#[derive(Default)]
struct Memory {
    tables: RefCell<Vec<(Table, String, String)>>,
    status: RefCell<i64>,
    content_type: RefCell<String>,
    body: RefCell<Vec<u8>>,
    written: RefCell<Vec<u8>>,
    log: RefCell<Vec<String>>,
    added: RefCell<Vec<(RequestPhase, String)>>,
    awaits_cleanup: Cell<bool>,
    /// What passes a filter: what comes, and whether it ends there.
    passing: RefCell<(Vec<u8>, bool)>,
    passed: RefCell<Vec<u8>>,
    closed: Cell<bool>,
    passes_always: Cell<bool>,
}

impl Memory {
    fn values(&self, table: Table, name: &str) -> Vec<String> {
        let all = self.tables.borrow();
        let found = all.iter().filter(|entry| entry.0 == table && entry.1.eq_ignore_ascii_case(name));
        found.map(|entry| entry.2.clone()).collect()
    }
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl RequestFacts for Memory {
    fn text(&self, fact: Fact, give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        if fact == Fact::ContentType {
            give(self.content_type.borrow().as_bytes());
        }
        Ok(())
    }

    fn set_text(&self, _: Fact, value: Option<&[u8]>) -> Result<(), Stop> {
        *self.content_type.borrow_mut() = string(value.unwrap_or_default());
        Ok(())
    }

    fn number(&self, _: Number) -> Result<i64, Stop> {
        Ok(*self.status.borrow())
    }

    fn set_number(&self, _: Number, value: i64) -> Result<(), Stop> {
        *self.status.borrow_mut() = value;
        Ok(())
    }

    fn entries(
        &self,
        table: Table,
        name: Option<&[u8]>,
        give: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Stop> {
        for (of, key, value) in self.tables.borrow().iter() {
            if *of == table && name.is_none_or(|name| name.eq_ignore_ascii_case(key.as_bytes())) {
                give(key.as_bytes(), value.as_bytes());
            }
        }
        Ok(())
    }

    fn change(&self, table: Table, change: Change<'_>) -> Result<(), Stop> {
        let mut all = self.tables.borrow_mut();
        if let Change::Set(name, _) | Change::Unset(name) = change {
            all.retain(|(of, key, _)| *of != table || !name.eq_ignore_ascii_case(key.as_bytes()));
        }
        if let Change::Set(name, value) | Change::Add(name, value) = change {
            all.push((table, string(name), string(value)));
        }
        Ok(())
    }

    fn server(&self) -> Result<usize, Stop> {
        Ok(0)
    }

    fn log(&self, _: Level, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }
}

/// A server of which the name is known.
struct NamedServer(&'static str);

impl RequestFacts for NamedServer {
    fn text(&self, fact: Fact, give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        if fact != Fact::ServerHostname {
            return Err(Stop::Invalid);
        }
        give(self.0.as_bytes());
        Ok(())
    }

    fn set_text(&self, _: Fact, _: Option<&[u8]>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn number(&self, _: Number) -> Result<i64, Stop> {
        Ok(80)
    }

    fn set_number(&self, _: Number, _: i64) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn entries(&self, _: Table, _: Option<&[u8]>, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Stop> {
        Ok(())
    }

    fn change(&self, _: Table, _: Change<'_>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn server(&self) -> Result<usize, Stop> {
        Ok(SERVERS.iter().position(|name| *name == self.0).unwrap())
    }

    fn log(&self, _: Level, _: &str) {}
}

impl Transaction for NamedServer {
    fn facts(&self) -> &dyn RequestFacts {
        self
    }
}

const SERVERS: [&str; 3] = ["main.example", "one.example", "two.example"];

impl Transaction for Memory {
    fn facts(&self) -> &dyn RequestFacts {
        self
    }

    fn read(&self, out: &mut [u8]) -> Result<usize, Stop> {
        let mut body = self.body.borrow_mut();
        let count = body.len().min(out.len());
        out[..count].copy_from_slice(&body[..count]);
        body.drain(..count);
        Ok(count)
    }

    fn write(&self, bytes: &[u8], _: bool) -> Result<(), Stop> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn add_handler(&self, handler: &Handler<'_>) -> Result<(), Stop> {
        self.added.borrow_mut().push((handler.phase, string(handler.name)));
        Ok(())
    }

    fn await_cleanup(&self) -> Result<(), Stop> {
        self.awaits_cleanup.set(true);
        Ok(())
    }

    fn filter_read(&self, out: &mut [u8]) -> Result<FilterRead, Stop> {
        let (bytes, ends) = &mut *self.passing.borrow_mut();
        let count = bytes.len().min(out.len());
        out[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        Ok(match (count, ends) {
            (0, true) => FilterRead::End,
            (0, false) => FilterRead::Nothing,
            _ => FilterRead::Bytes(count),
        })
    }

    fn filter_write(&self, bytes: &[u8], _: bool) -> Result<(), Stop> {
        self.passed.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn filter_close(&self) -> Result<(), Stop> {
        self.closed.set(true);
        Ok(())
    }

    fn filter_pass(&self, always: bool) -> Result<(), Stop> {
        self.passes_always.set(always);
        Ok(())
    }
}

/// What the handlers of these words answer.
fn run(
    app: &Arc<Application>,
    memory: &Memory,
    state: &PhaseState,
    phase: RequestPhase,
    words: &[&'static str],
) -> Option<PhaseAnswer> {
    let handler =
        |word: &&'static str| Handler { phase, name: word.as_bytes(), suffix: None, directory: b"" };
    let handlers: Vec<_> = words.iter().map(handler).collect();
    let call = PhaseCall {
        phase,
        interpreter: b"main",
        handlers: &handlers,
        settings: PlaceWords::Lent(&[]),
        options: PlaceWords::Lent(&[]),
        filter: b"capitals",
    };
    app.run_phase(false, memory, &call, state).unwrap()
}

#[test]
fn phases_look_change_and_answer() {
    let world = World::new();
    let app = world.load_file(compile("good/phases"), &[], Threads::Server);
    app.await_loaded().unwrap();
    let memory = Memory::default();
    let state = PhaseState::default();
    let answer = |phase, words: &[&'static str]| run(&app, &memory, &state, phase, words);
    assert_eq!(answer(RequestPhase::Access, &["let-in"]), Some(PhaseAnswer::Status(403)));
    memory.tables.borrow_mut().push((Table::HeadersIn, "X-Welcome".into(), "yes".into()));
    assert_eq!(answer(RequestPhase::Access, &["let-in"]), Some(PhaseAnswer::Done));
    assert_eq!(memory.values(Table::Notes, "CHECKED"), ["yes"]);
    // What it keeps is there in the next phase.
    for phase in [RequestPhase::Access, RequestPhase::Fixup] {
        assert_eq!(answer(phase, &["count"]), Some(PhaseAnswer::Declined));
    }
    assert_eq!(memory.values(Table::Notes, "count"), ["1", "2"]);
    *memory.body.borrow_mut() = b"a body of any size".to_vec();
    assert_eq!(answer(RequestPhase::Content, &["write"]), Some(PhaseAnswer::Done));
    assert_eq!(memory.written.borrow().as_slice(), b"a body of any size");
    assert_eq!((memory.content_type.borrow().as_str(), *memory.status.borrow()), ("text/plain", 201));
    assert!(memory.log.borrow().is_empty(), "{:?}", memory.log.borrow());
    assert_eq!(answer(RequestPhase::Content, &["look-forward"]), Some(PhaseAnswer::Done));
    assert_eq!(*memory.added.borrow(), [(RequestPhase::Log, "log-it".to_owned())]);
    assert!(memory.awaits_cleanup.get());
    memory.log.borrow_mut().clear();
    assert_eq!(answer(RequestPhase::Log, &["log-it"]), Some(PhaseAnswer::Done));
    assert_eq!(*memory.log.borrow(), ["ended with 201"]);
    assert_eq!(answer(RequestPhase::Cleanup, &[]), Some(PhaseAnswer::Declined));
    drop(state);
    let next = PhaseState::default();
    let forgotten = run(&app, &memory, &next, RequestPhase::Content, &["forgotten"]);
    assert_eq!(forgotten, Some(PhaseAnswer::Status(201)), "forget() is called once");
    drop(next);
    world.end();
}

#[test]
fn what_is_wrong_is_refused() {
    let world = World::new();
    let app = world.load_file(compile("good/phases"), &[], Threads::Server);
    app.await_loaded().unwrap();
    let memory = Memory::default();
    let state = PhaseState::default();
    let refused = run(&app, &memory, &state, RequestPhase::Content, &["wrong"]);
    assert_eq!(refused, Some(PhaseAnswer::Status(217)), "{:?}", memory.log.borrow());
    assert!(memory.tables.borrow().is_empty() && memory.written.borrow().is_empty());
    assert!(memory.log.borrow().iter().any(|line| line.contains("GW0501")));
    assert!(memory.log.borrow().iter().any(|line| line.contains("GW0207")));
    memory.log.borrow_mut().clear();
    assert_eq!(run(&app, &memory, &state, RequestPhase::Content, &["nonsense"]), None);
    assert!(memory.log.borrow().iter().any(|line| line.contains("answered 7, which is no status")));
    assert_eq!(run(&app, &memory, &state, RequestPhase::Content, &["unknown"]), None);
    drop(state);
    world.end();
}

#[test]
fn servers_are_there_on_any_thread() {
    let world = World::new();
    let app = world.load_file(compile("good/phases"), &[], Threads::Server);
    app.await_loaded().unwrap();
    let (memory, state) = (Memory::default(), PhaseState::default());
    assert_eq!(run(&app, &memory, &state, RequestPhase::Fixup, &["servers"]), Some(PhaseAnswer::Status(500)));
    tell_servers(SERVERS.iter().map(|name| Box::new(NamedServer(name)) as Box<_>).collect());
    assert_eq!(run(&app, &memory, &state, RequestPhase::Fixup, &["servers"]), Some(PhaseAnswer::Done));
    assert_eq!(*memory.log.borrow(), ["main.example one.example two.example behind it: one.example"]);
    drop(state);
    world.end();
}

#[test]
fn filters_see_what_passes() {
    let world = World::new();
    let app = world.load_file(compile("good/phases"), &[], Threads::Server);
    app.await_loaded().unwrap();
    let (memory, state) = (Memory::default(), PhaseState::default());
    for (piece, ends) in [("a piece of any ", false), ("size", true)] {
        *memory.passing.borrow_mut() = (piece.as_bytes().to_vec(), ends);
        let answer = run(&app, &memory, &state, RequestPhase::OutputFilter, &["upper"]);
        assert_eq!(answer, Some(PhaseAnswer::Done));
        assert_eq!(memory.closed.get(), ends);
    }
    assert_eq!(memory.passed.borrow().as_slice(), b"A PIECE OF ANY SIZE");
    let answer = run(&app, &memory, &state, RequestPhase::InputFilter, &["pass"]);
    assert_eq!(answer, Some(PhaseAnswer::Done), "{:?}", memory.log.borrow());
    assert!(memory.passes_always.get());
    drop(state);
    world.end();
}
