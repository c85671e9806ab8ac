// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where this child counts requests for backends: each has a name when it has had its first one.

use std::{cell::RefCell, ffi::c_int};

use gangway::status::{AppKind, Incident, Passage, Tally, WorkerMark};
use gangway_httpd::{figures::board, notes};

use crate::raw::{DONE, OK, ProxyTarget};

/// Backends that a thread remembers. Of further ones it is looked up again where they are counted.
const MOST: usize = 64;

thread_local! {
    /// By the addresses of mod_proxy's workers, or the names of backends that share one.
    static TALLIES: RefCell<Vec<(Vec<u8>, Tally)>> = const { RefCell::new(Vec::new()) };
}

/// Where the requests for a backend are counted.
pub(crate) fn tally(target: ProxyTarget<'_>) -> Tally {
    let name = target.name();
    TALLIES.with_borrow_mut(|tallies| {
        if let Some((_, tally)) = tallies.iter().find(|(known, _)| **known == *name) {
            return *tally;
        }
        let text = String::from_utf8_lossy(&name);
        let open = |board: &'static gangway::status::StatusBoard| {
            board.tally(AppKind::Upstream, &text, WorkerMark::of_this_process())
        };
        let tally = board().map(open).unwrap_or_default();
        if tallies.len() < MOST {
            tallies.push((name.to_vec(), tally));
        }
        tally
    })
}

/// A request has its answer: a status, or what httpd knows of the response that was given.
pub(crate) fn close(passage: &Passage, target: ProxyTarget<'_>, status: c_int) {
    let known = match status {
        OK | DONE => target.request().status(),
        status => u16::try_from(status).ok(),
    };
    let status = known.unwrap_or(502);
    if status == 504 {
        passage.tally().happened(Incident::RunTimeout);
    }
    passage.close(status);
    if notes::are_wanted() {
        let name = target.name();
        notes::set(target.request(), Some(&String::from_utf8_lossy(&name)), passage, None);
    }
}
