// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where this process counts requests: memory that the master makes before its first workers, and keeps over reloads.

use std::{
    cell::RefCell,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use gangway::{
    error::SERVER_FAILED,
    log::{self, Level},
    status::{AppKind, Passage, StatusBoard, Tally, WorkerMark},
    sys::{explain, lock},
};

use crate::{
    conf::{CountKey, Counted, MainConf},
    raw::{self, Cycle, Request},
    serve::memo::{self, CountNote},
};

/// Never freed: whoever counts in it does so until the end of the process.
static BOARD: Mutex<Option<&'static StatusBoard>> = Mutex::new(None);
/// What the applications of this process' configuration are called, by their numbers.
static NAMES: Mutex<Vec<(AppKind, String)>> = Mutex::new(Vec::new());

/// Whether the configuration of this process has a variable that says what was counted of a request.
static HAS_NOTES: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where this worker counts, by the numbers of applications.
    static TALLIES: RefCell<Vec<Option<Tally>>> = const { RefCell::new(Vec::new()) };
}

/// The memory, if there is some.
pub(crate) fn board() -> Option<&'static StatusBoard> {
    *lock(&BOARD)
}

/// In the process that will fork the workers, before anything else is prepared: makes room for this configuration.
pub(crate) fn make_room(cycle: &Cycle<'_>) {
    let Some(Counted(roll)) = cycle.http::<MainConf>().and_then(|main| main.kinds.get()) else { return };
    if raw::is_test() {
        return;
    }
    let mut place = lock(&BOARD);
    let made = match *place {
        Some(board) if board.has_room(roll.len()) => return,
        Some(board) => board.grown(roll.len()),
        // Workers of two configurations count for a while after a reload.
        None => {
            StatusBoard::create(2 * cycle.workers() + 2).and_then(|board| match board.has_room(roll.len()) {
                true => Ok(board),
                false => board.grown(roll.len()),
            })
        }
    };
    match made {
        Ok(board) => *place = Some(Box::leak(Box::new(board))),
        Err(error) => tell(&error),
    }
}

fn tell(error: &io::Error) {
    let why = explain(error);
    log::coded(Level::Warn, SERVER_FAILED, format_args!("requests are not counted for the status: {why}"));
}

/// In the same process, when all is prepared: these are the applications from now on. `rename` knows what one is called.
pub(crate) fn announce(cycle: &Cycle<'_>, rename: impl Fn(&CountKey) -> Option<String>) {
    let known = cycle.http::<MainConf>().and_then(|main| main.kinds.get::<Counted>());
    let names = match (known, board()) {
        (Some(Counted(roll)), Some(board)) => roll.announce(board, rename),
        (None, Some(board)) => {
            board.announce(&[]);
            Vec::new()
        }
        (_, None) => Vec::new(),
    };
    *lock(&NAMES) = names;
    let has_notes = cycle.http::<MainConf>().is_some_and(|main| main.notes_counts);
    HAS_NOTES.store(has_notes, Ordering::Relaxed);
}

/// A process begins to serve requests.
pub(crate) fn start() {
    TALLIES.with_borrow_mut(Vec::clear);
}

/// Where this worker counts the requests of the application with this number.
pub(crate) fn tally(number: usize) -> Tally {
    TALLIES.with_borrow_mut(|tallies| match tallies.get(number) {
        Some(Some(tally)) => *tally,
        _ => open(tallies, number),
    })
}

#[cold]
fn open(tallies: &mut Vec<Option<Tally>>, number: usize) -> Tally {
    let names = lock(&NAMES);
    let (Some(board), Some((kind, name))) = (board(), names.get(number)) else { return Tally::default() };
    let tally = board.tally(*kind, name, WorkerMark::of_this_process());
    tallies.resize(tallies.len().max(number + 1), None);
    if let Some(place) = tallies.get_mut(number) {
        *place = Some(tally);
    }
    tally
}

/// What the application with this number is called.
pub(crate) fn name(number: usize) -> Option<String> {
    lock(&NAMES).get(number).map(|(_, name)| name.clone())
}

/// Notes what is known of a request, if the configuration has a variable that says it.
pub(crate) fn note(request: Request, number: usize, passage: &Passage, process: Option<u32>) {
    if HAS_NOTES.load(Ordering::Relaxed) {
        let (queue, run) = passage.times();
        // Without memory the variables are empty.
        let _ = memo::note(request, |notes| notes.counts = Some(CountNote { number, queue, run, process }));
    }
}
