// SPDX-License-Identifier: MIT OR Apache-2.0
//! The board with several workers: some of them are killed, and some have no lane of their own.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::*;
use crate::status::{CodeClass, Passage};

fn board(workers: usize) -> &'static StatusBoard {
    Box::leak(Box::new(StatusBoard::create(workers).unwrap()))
}

fn app(kind: AppKind, name: &str) -> Announced {
    Announced { kind, name: name.into(), places: 2, room: 7 }
}

fn answer(tally: Tally, times: usize) {
    for _ in 0..times {
        let request = Passage::arrive(tally);
        request.begin(Instant::now());
        request.close(200);
    }
}

fn start() -> Child {
    Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap()
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A worker that lives no longer.
fn dead() -> WorkerMark {
    let mut child = start();
    let mark = WorkerMark::of(child.id());
    assert!(mark.is_alive());
    end(&mut child);
    assert!(!mark.is_alive());
    mark
}

#[test]
fn counts_of_all_workers_are_summed_and_those_of_dead_ones_stay() {
    let board = board(4);
    assert_eq!(board.announce(&[app(AppKind::InProcess, "blog")]), ["blog"]);
    let own = WorkerMark::of_this_process();
    let mut child = start();
    let other = board.tally(AppKind::InProcess, "blog", WorkerMark::of(child.id()));
    let tally = board.tally(AppKind::InProcess, "blog", own);
    answer(other, 3);
    // What it has when it is killed.
    std::mem::forget(Passage::arrive(other));
    answer(tally, 4);
    assert_eq!(board.read()[0].figures.waiting, 1);
    child.kill().unwrap();
    while WorkerMark::of(child.id()).is_alive() {
        std::thread::yield_now();
    }
    // Nobody has collected it yet.
    let read = board.read();
    let [blog] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((blog.places, blog.room, blog.figures.requests()), (2, 7, 7));
    assert_eq!(blog.figures.waiting, 0);
    child.wait().unwrap();
    assert_eq!(blog.workers, [WorkerFigures { pid: std::process::id(), requests: 4, running: 0 }]);
}

#[test]
fn the_lane_of_a_dead_worker_has_another_owner_and_its_counts() {
    let board = board(2);
    board.announce(&[app(AppKind::Cgi, "x")]);
    let killed = board.tally(AppKind::Cgi, "x", dead());
    answer(killed, 5);
    std::mem::forget(Passage::arrive(killed));
    let own = board.tally(AppKind::Cgi, "x", WorkerMark::of_this_process());
    answer(own, 1);
    let x = board.read_one(AppKind::Cgi, "x").unwrap();
    assert_eq!((x.figures.requests(), x.figures.waiting, x.workers[0].requests), (6, 0, 1));
    let block = board.find(AppKind::Cgi, "x").unwrap();
    assert_eq!(block.lanes().filter(|lane| lane[OWNER].load(Relaxed) != 0).count(), 1);
}

#[test]
fn more_workers_than_lanes_lose_nothing() {
    let board = board(2);
    board.announce(&[app(AppKind::Upstream, "u")]);
    let mut children: Vec<_> = (0..5).map(|_| start()).collect();
    for child in &children {
        answer(board.tally(AppKind::Upstream, "u", WorkerMark::of(child.id())), 10);
    }
    assert_eq!(board.read()[0].figures.answers(CodeClass::Success), 50);
    children.iter_mut().for_each(end);
}

#[test]
fn threads_that_count_at_once_lose_nothing() {
    let board = board(2);
    board.announce(&[app(AppKind::InProcess, "busy")]);
    let tally = board.tally(AppKind::InProcess, "busy", WorkerMark::of_this_process());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || answer(tally, 5_000));
        }
    });
    let busy = board.read().remove(0).figures;
    assert_eq!((busy.requests(), busy.waiting, busy.running), (20_000, 0, 0));
    assert_eq!((busy.runs.count(), busy.waits.count()), (20_000, 20_000));
}

#[test]
fn a_reload_keeps_what_is_still_there_and_shows_nothing_else() {
    let board = board(2);
    board.announce(&[app(AppKind::Managed, "a"), app(AppKind::Managed, "b")]);
    answer(board.tally(AppKind::Managed, "a", WorkerMark::of_this_process()), 2);
    board.announce(&[app(AppKind::Managed, "b"), app(AppKind::Managed, "c")]);
    let names = |board: &StatusBoard| board.read().into_iter().map(|app| app.name).collect::<Vec<_>>();
    assert_eq!(names(board), ["b", "c"]);
    board.announce(&[app(AppKind::Managed, "a")]);
    assert_eq!(board.read()[0].figures.requests(), 2);
}

#[test]
fn each_of_a_kind_has_a_name_of_its_own() {
    let board = board(2);
    let all = [
        app(AppKind::InProcess, "a"),
        app(AppKind::Cgi, "a"),
        app(AppKind::InProcess, "a"),
        app(AppKind::InProcess, "a-2"),
    ];
    assert_eq!(board.announce(&all), ["a", "a", "a-2", "a-2-2"]);
    assert_eq!(board.read().len(), 4);
}

#[test]
fn it_grows_and_the_old_mapping_goes_on() {
    let small = board(2);
    let many: Vec<_> = (0..300).map(|number| app(AppKind::Managed, &format!("site{number}"))).collect();
    assert!(!small.has_room(many.len()));
    let tally = {
        small.announce(&many[..3]);
        small.tally(AppKind::Managed, "site1", WorkerMark::of_this_process())
    };
    let large = small.grown(many.len()).unwrap();
    assert!(large.has_room(many.len()));
    large.announce(&many);
    answer(tally, 1);
    let opened = StatusBoard::open(large.as_fd().try_clone_to_owned().unwrap()).unwrap();
    for board in [&large, &opened] {
        let read = board.read();
        assert_eq!((read.len(), read[1].figures.requests()), (300, 1));
    }
}

#[test]
fn what_was_not_announced_is_there_when_it_counts() {
    let board = board(2);
    board.announce(&[]);
    answer(board.tally(AppKind::Upstream, "fcgi://late", WorkerMark::of_this_process()), 1);
    assert_eq!(board.read()[0].name, "fcgi://late");
}

#[test]
fn other_memory_is_no_board() {
    let words = SharedWords::create_growing(c"words", 4096).unwrap();
    assert!(StatusBoard::open(words.as_fd().try_clone_to_owned().unwrap()).is_err());
}
