// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a child counts requests, and what the applications are called there.

use std::{
    collections::HashMap,
    ffi::c_int,
    sync::{Mutex, OnceLock},
};

use gangway::{
    status::{Announced, AppKind, Incident, Passage, Tally, WorkerMark},
    sys::lock,
};
use gangway_httpd::notes;

use crate::raw::{OK, Request, board, with_board};

/// What the applications of the configuration are called, by their kind and number. Children inherit it.
static NAMES: Mutex<Vec<(AppKind, String)>> = Mutex::new(Vec::new());
/// Where this child counts, by the same.
static TALLIES: OnceLock<HashMap<(u8, usize), OnceLock<Tally>>> = OnceLock::new();

/// In the parent: these are the applications from now on, those of a kind in the order of their numbers.
pub(crate) fn announce(all: &[Announced]) {
    let names = with_board(|board| board.announce(all)).unwrap_or_default();
    *lock(&NAMES) = all.iter().map(|announced| announced.kind).zip(names).collect();
}

/// Where this child counts the requests of an application.
pub(crate) fn tally(kind: AppKind, number: usize) -> Tally {
    let tallies = TALLIES.get_or_init(|| {
        let mut counts: HashMap<u8, usize> = HashMap::new();
        let number = |kind: AppKind| {
            let next = counts.entry(kind as u8).or_default();
            *next += 1;
            ((kind as u8, *next - 1), OnceLock::new())
        };
        lock(&NAMES).iter().map(|(kind, _)| *kind).map(number).collect()
    });
    let Some(place) = tallies.get(&(kind as u8, number)) else { return Tally::default() };
    *place.get_or_init(|| {
        let names = lock(&NAMES);
        let name = names.iter().filter(|(of, _)| *of == kind).nth(number);
        let Some(((_, name), board)) = name.zip(board()) else { return Tally::default() };
        board.tally(kind, name, WorkerMark::of_this_process())
    })
}

/// Notes what is known of a request that an application has had; `process`: which one has answered it, asked where somebody wants to know,
/// for some have to ask the system.
pub(crate) fn note(
    request: Request<'_>,
    kind: AppKind,
    number: usize,
    passage: &Passage,
    process: impl FnOnce() -> Option<u32>,
) {
    if notes::are_wanted() {
        let names = lock(&NAMES);
        let name = names.iter().filter(|(of, _)| *of == kind).nth(number);
        notes::set(request, name.map(|(_, name)| name.as_str()), passage, process());
    }
}

/// A request has its answer: a status, or what httpd knows of the response that was given.
pub(crate) fn close(passage: &Passage, request: Request<'_>, status: c_int) {
    let status = if status == OK { request.status() } else { u16::try_from(status).ok() };
    let status = status.unwrap_or(500);
    if status == 504 {
        fail(passage, status)
    } else {
        passage.answer(status)
    }
    passage.end();
}

/// A request has failed in this way.
pub(crate) fn fail(passage: &Passage, status: u16) {
    if status == 504 && !passage.is_answered() {
        let is_running = passage.has_begun();
        passage.tally().happened(if is_running { Incident::RunTimeout } else { Incident::QueueTimeout });
    }
    passage.answer(status);
}
