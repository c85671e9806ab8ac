// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where this process counts requests: memory that the master makes before its first workers, and keeps over reloads.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
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

/// The memory in this process.
enum OwnBoard {
    /// Nobody counts here: it goes when there are no applications any more, or a larger one takes its place.
    Kept(Box<StatusBoard>),
    /// Never freed: whoever counts does so until the end of the process.
    Used(&'static StatusBoard),
}

static BOARD: Mutex<Option<OwnBoard>> = Mutex::new(None);
/// What the applications of this process' configuration are called, by their numbers.
static NAMES: Mutex<Vec<(AppKind, String)>> = Mutex::new(Vec::new());

/// Whether the configuration of this process has a variable that says what was counted of a request.
static HAS_NOTES: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where this worker counts, by the numbers of applications.
    static TALLIES: RefCell<Vec<Option<Tally>>> = const { RefCell::new(Vec::new()) };
}

impl OwnBoard {
    fn get(&self) -> &StatusBoard {
        match self {
            Self::Kept(board) => board,
            Self::Used(board) => board,
        }
    }
}

/// The memory, in a process that serves requests.
pub(crate) fn board() -> Option<&'static StatusBoard> {
    match &*lock(&BOARD) {
        Some(OwnBoard::Used(board)) => Some(board),
        _ => None,
    }
}

/// The memory for another process that is to open it.
pub(crate) fn memory() -> io::Result<Option<OwnedFd>> {
    let board = lock(&BOARD);
    board.as_ref().map(|board| board.get().as_fd().try_clone_to_owned()).transpose()
}

/// In the process that will fork the workers, before anything else is prepared: makes room for this configuration.
pub(crate) fn make_room(cycle: &Cycle<'_>) {
    if raw::is_test() {
        return;
    }
    let mut place = lock(&BOARD);
    let Some(Counted(roll)) = cycle.http::<MainConf>().and_then(|main| main.kinds.get()) else {
        *place = place.take().filter(|board| matches!(board, OwnBoard::Used(_)));
        return;
    };
    match room(place.as_ref().map(OwnBoard::get), cycle, roll.len()) {
        Ok(None) => {}
        Ok(Some(board)) => *place = Some(OwnBoard::Kept(Box::new(board))),
        Err(error) => tell(&error),
    }
}

/// Memory with room for so many applications more, if what is there has none.
fn room(known: Option<&StatusBoard>, cycle: &Cycle<'_>, more: usize) -> io::Result<Option<StatusBoard>> {
    match known {
        Some(board) if board.has_room(more) => Ok(None),
        Some(board) => board.grown(more).map(Some),
        None => {
            // Workers of two configurations count for a while after a reload.
            let board = StatusBoard::create(2 * cycle.workers() + 2)?;
            if board.has_room(more) { Ok(Some(board)) } else { board.grown(more).map(Some) }
        }
    }
}

fn tell(error: &io::Error) {
    let why = explain(error);
    log::coded(Level::Warn, SERVER_FAILED, format_args!("requests are not counted for the status: {why}"));
}

/// In the same process, when all is prepared: these are the applications from now on. `rename` knows what one is called.
pub(crate) fn announce(cycle: &Cycle<'_>, rename: impl Fn(&CountKey) -> Option<String>) {
    let known = cycle.http::<MainConf>().and_then(|main| main.kinds.get::<Counted>());
    let names = match (known, &*lock(&BOARD)) {
        (Some(Counted(roll)), Some(board)) => roll.announce(board.get(), rename),
        (None, Some(board)) => {
            board.get().announce(&[]);
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
    let mut place = lock(&BOARD);
    *place = place.take().map(|board| match board {
        OwnBoard::Kept(board) => OwnBoard::Used(Box::leak(board)),
        used @ OwnBoard::Used(_) => used,
    });
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

/// Notes what is known of a request, if the configuration has a variable that says it. `process`: asked then alone, for some have to ask
/// the system.
pub(crate) fn note(
    request: Request,
    number: usize,
    passage: &Passage,
    process: impl FnOnce() -> Option<u32>,
) {
    if HAS_NOTES.load(Ordering::Relaxed) {
        let ((queue, run), process) = (passage.times(), process());
        // Without memory the variables are empty.
        let _ = memo::note(request, |notes| notes.counts = Some(CountNote { number, queue, run, process }));
    }
}
