// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a supervisor hears and may ask while the server's parent tells another configuration. Supervisors of these tests note in a file what
//! they hear.

use std::{
    fs::{self, File},
    io::Write,
    os::{fd::AsFd, unix::net::UnixListener},
    path::Path,
    time::{Duration, Instant},
};

use super::*;
use crate::sys::spawner::{request::plain, users::own_account};

/// An application as the server's parent tells it.
fn told(tree: &Tree, id: u32, version: u32) {
    let arguments = [b"60".to_vec()];
    let message =
        application(id, version, &plain("/bin/sleep", &arguments), None, (0o22, 0, b""), b"").unwrap();
    tree.tell(&message, &[]).unwrap();
}

fn whole(tree: &Tree, applications: usize) {
    tree.tell(&commit(applications), &[]).unwrap();
}

fn note(path: &Path, what: &str) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(what.as_bytes()).unwrap();
}

fn notes(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect()
}

/// Waits until the notes are as wanted, and answers them.
fn awaited(path: &Path, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = notes(path);
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < until, "{found:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn noted(path: &Path, last: &str) -> Vec<String> {
    awaited(path, |notes| notes.iter().any(|note| note == last))
}

fn said(fact: &Fact<'_>) -> String {
    match fact {
        Fact::Application(id, version, _) => format!("{id}.{version} "),
        Fact::Commit(applications) => format!("all-{applications} "),
        Fact::Started(app, slot, _) => format!("started-{app}-{slot} "),
        Fact::NotStarted(app, slot, _) => format!("refused-{app}-{slot} "),
        _ => "other ".to_owned(),
    }
}

/// Has a tree with this supervisor, whose work is told what it hears.
fn tree(path: &Path, work: impl Fn(&MessageSocket, &Fact<'_>) -> bool) -> Tree {
    let supervise = |keeper: MessageSocket| {
        note(path, "begins ");
        while let Ok(parcel) = keeper.receive(true) {
            let fact = Fact::decode(&parcel.bytes).unwrap();
            note(path, &said(&fact));
            if !work(&keeper, &fact) {
                break;
            }
        }
    };
    Tree::start(&own_account(), || (), &supervise).unwrap()
}

#[test]
fn a_supervisor_that_begins_in_the_middle_of_a_configuration_hears_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes");
    // The first one ends when it has heard the first application with other words.
    let begun = |notes: &[String]| notes.iter().filter(|note| *note == "begins").count();
    let tree =
        tree(&path, |_, fact| !(begun(&notes(&path)) == 1 && matches!(fact, Fact::Application(1, 2, _))));
    told(&tree, 1, 1);
    told(&tree, 2, 1);
    whole(&tree, 2);
    told(&tree, 1, 2);
    awaited(&path, |notes| begun(notes) == 2);
    told(&tree, 2, 2);
    whole(&tree, 2);
    told(&tree, 3, 1);
    let heard = noted(&path, "3.1");
    let expected = "begins 1.1 2.1 all-2 1.2 begins 1.1 2.1 all-2 1.2 2.2 all-2 3.1";
    assert_eq!(heard.join(" "), expected);
}

#[test]
fn words_that_the_supervisor_has_not_read_yet_and_those_that_have_left_are_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes");
    let listener = |slot: u16| UnixListener::bind(folder.path().join(slot.to_string())).unwrap();
    let tree = tree(&path, |keeper, fact| {
        // Each configuration has it ask for a process with the words of the first.
        if let Fact::Commit(_) = fact {
            let slot = notes(&path).iter().filter(|note| note.starts_with("all")).count() as u16;
            let (_reader, writer) = io::pipe().unwrap();
            let output = writer.try_clone().unwrap();
            let order = KeeperCommand::Start { app: 1, slot, version: 1 }.encode();
            let listener = listener(slot);
            keeper.send(&order, &[listener.as_fd(), writer.as_fd(), output.as_fd()], true).unwrap();
        }
        true
    });
    // With these words, with others, and with others again.
    for version in 1..=3 {
        told(&tree, 1, version);
        whole(&tree, 1);
        noted(&path, &format!("started-1-{version}"));
    }
    // It has left, and has processes.
    for slot in 4..=5 {
        told(&tree, 2, 1);
        whole(&tree, 1);
        noted(&path, &format!("started-1-{slot}"));
    }
    assert!(!notes(&path).iter().any(|note| note.starts_with("refused")));
}

#[test]
fn a_configuration_of_which_something_is_lost_does_not_count() {
    let parcel = |bytes| Parcel { bytes, fds: Vec::new(), sender: None };
    let mut table = table::Table::default();
    assert!(table.take(parcel(b"some application".to_vec())).is_none());
    assert!(table.take(parcel(commit(1))).is_some());
    let count = table.told.len();
    assert_eq!((count, table.next.len()), (2, 0));
    // Of two only one has come.
    assert!(table.take(parcel(b"another".to_vec())).is_none());
    assert!(table.take(parcel(commit(2))).is_none());
    assert_eq!((table.told.len(), table.next.len()), (2, 0));
    // What was told before a parent gave up is none of the next ones.
    for bytes in [&b"given up"[..], b"one", b"two"] {
        assert!(table.take(parcel(bytes.to_vec())).is_none());
    }
    assert_eq!(table.take(parcel(commit(2))).map(|replaced| replaced.len()), Some(2));
    assert_eq!(table.told.first().map(|packet| packet.bytes.as_slice()), Some(&b"one"[..]));
}
