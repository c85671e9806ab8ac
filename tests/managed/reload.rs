// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files whose change replaces processes.

use std::fs;

use gangway::supervise::segment::{Claim, Condition, Owner, SlotState};

use super::harness::{Server, alive, until};

/// Waits until other processes serve, and these have ended.
fn are_replaced(server: &Server, old: &[u32]) -> Vec<u32> {
    until("others serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == old.len() && !now.iter().any(|pid| old.contains(pid))
    });
    until("the old ones have ended", || !old.iter().any(|pid| alive(*pid)));
    server.ready(0, old.len())
}

#[test]
fn a_file_that_is_touched_replaces_the_processes() {
    let mut server = Server::start();
    let file = server.folder.path().join("restart.txt");
    server.configure(&[&["processes=2", "name=blog", &format!("reload={}", file.display())]]);
    let first = server.ready(0, 2);
    fs::write(&file, "").unwrap();
    let second = are_replaced(&server, &first);
    // Another file in its place, as a deployment does it.
    let other = server.folder.path().join("other");
    fs::write(&other, "").unwrap();
    fs::rename(&other, &file).unwrap();
    let third = are_replaced(&server, &second);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "again").unwrap();
    are_replaced(&server, &third);
    server.wait_for_line("restart.txt\" of \"blog\" has changed");
    server.wait_for_line("generation 4 of \"blog\" serves");
}

#[test]
fn code_that_changes_replaces_the_processes_and_heals_when_it_changes_again() {
    let mut server = Server::start();
    server.configure(&[&["name=blog", "reload=on"]]);
    let first = server.ready(0, 1);
    let program = server.folder.path().join("program.py");
    let good = fs::read_to_string(&program).unwrap();
    fs::write(&program, format!("{good}\n# changed\n")).unwrap();
    let second = are_replaced(&server, &first);
    fs::write(&program, "raise SystemExit('no code')").unwrap();
    server.wait_for_line("generation 3 of \"blog\" cannot be started");
    assert_eq!((server.ready(0, 1), server.segment(0).condition()), (second.clone(), Condition::Up));
    let segment = server.segment(0);
    let Claim::Claimed(place) = segment.claim(Owner::this_process(), 0) else { panic!("the old one serves") };
    segment.release(Owner::this_process(), place);
    fs::write(&program, good).unwrap();
    are_replaced(&server, &second);
    server.wait_for_line("generation 4 of \"blog\" serves");
}

#[test]
fn without_being_asked_files_are_looked_at_when_the_server_is_reloaded() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let first = server.ready(0, 1);
    let program = server.folder.path().join("program.py");
    let good = fs::read_to_string(&program).unwrap();
    fs::write(&program, format!("{good}\n# changed\n")).unwrap();
    server.configure(&[&["name=blog"]]);
    let second = are_replaced(&server, &first);
    server.configure(&[&["name=blog"]]);
    assert_eq!(server.ready(0, 1), second);
}

#[test]
fn files_that_a_process_names_are_its_code_too() {
    let mut server = Server::start();
    let module = server.folder.path().join("module");
    fs::write(&module, "1").unwrap();
    let named = format!("env=NAMES={}", module.display());
    server.configure(&[&[&named, "name=blog", "reload=on"], &["name=wiki"]]);
    let first = server.ready(0, 1);
    let wiki = server.ready(1, 1);
    fs::write(&module, "12").unwrap();
    let second = are_replaced(&server, &first);
    fs::remove_file(&module).unwrap();
    are_replaced(&server, &second);
    assert_eq!(server.ready(1, 1), wiki);
    assert!(!server.log().contains("x01"), "{}", server.log());
}
