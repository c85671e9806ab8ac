// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway` with a supervisor and real processes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../../tests/managed/harness.rs"]
mod harness;

use std::{
    fs,
    process::{Command, Output},
};

use gangway::supervise::segment::SlotState;
use harness::{Server, alive, until};

fn gangway(server: &Server, words: &[&str]) -> Output {
    let run_directory = server.folder.path().join("run");
    Command::new(env!("CARGO_BIN_EXE_gangway"))
        .arg("--run-directory")
        .arg(run_directory)
        .args(words)
        .output()
        .unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_application_is_shown_restarted_stopped_and_started() {
    let mut server = Server::start();
    server.configure(&[&["processes=2", "name=blog"]]);
    let old = server.ready(0, 2);
    server.control();
    let text = done(&gangway(&server, &["status"]));
    assert!(text.starts_with("blog: serving, user ") && text.contains(&format!("\n  {} ", old[0])), "{text}");
    let json = done(&gangway(&server, &["status", "--json"]));
    assert!(json.contains(&format!("\"pid\": {}", old[1])), "{json}");
    assert_eq!(done(&gangway(&server, &["restart", "blog"])), "blog: restarted\n");
    let new = server.pids(0, SlotState::Ready);
    assert!(new.len() == 2 && !new.iter().any(|pid| old.contains(pid)));
    assert_eq!(done(&gangway(&server, &["stop", "blog"])), "blog: stopped\n");
    assert!(!new.iter().any(|pid| alive(*pid)));
    assert!(failed(&gangway(&server, &["restart", "blog"]), 1).contains("it was stopped; start it"));
    assert_eq!(done(&gangway(&server, &["start", "blog"])), "blog: started\n");
    assert!(!server.pids(0, SlotState::Ready).is_empty());
    assert!(failed(&gangway(&server, &["stop", "wiki"]), 4).contains("wiki: there is no such application"));
}

#[test]
fn code_that_cannot_be_started_ends_with_a_failure_and_its_reason() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let old = server.ready(0, 1);
    server.control();
    fs::write(server.folder.path().join("program.py"), "raise SystemExit(7)").unwrap();
    let text = failed(&gangway(&server, &["restart", "blog"]), 1);
    assert!(text.contains("blog: generation 2 cannot be started (") && text.contains('7'), "{text}");
    assert_eq!(server.ready(0, 1), old);
    let text = done(&gangway(&server, &["status"]));
    assert!(text.contains("generation 2 could not be started, "), "{text}");
}

#[test]
fn without_a_server_that_is_said() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let control = server.control();
    server.end();
    until("it is gone", || !control.exists());
    assert!(failed(&gangway(&server, &["status"]), 3).contains("no server answers in \""));
    assert!(failed(&gangway(&server, &["restart", "blog"]), 3).contains("--run-directory DIR"));
    assert!(failed(&gangway(&server, &["reboot"]), 2).contains("unknown command"));
}
