// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that have served for long enough.

use std::sync::Arc;

use gangway::supervise::segment::{Claim, Owner, Place, Segment, SlotState};

use super::harness::{Server, alive, until};

fn claim(segment: &Arc<Segment>) -> Place {
    let mut place = None;
    until("there is a place", || {
        // Beside the moment in which another process takes over there is always one.
        match segment.claim(Owner::this_process(), 0) {
            Claim::Claimed(claimed) => place = Some(claimed),
            Claim::Waits(ticket) => drop(segment.withdraw(ticket, Owner::this_process())),
            Claim::Full | Claim::Down => panic!("refused"),
        }
        place.is_some()
    });
    place.unwrap_or_else(|| panic!("it was there"))
}

/// With a request that runs: another process takes over, and this one ends behind the request.
fn is_replaced(server: &Server, old: u32, place: Place) {
    until("another one serves", || server.pids(0, SlotState::Ready).iter().any(|pid| *pid != old));
    assert!(alive(old), "its request still runs: {}", server.log());
    server.segment(0).release(Owner::this_process(), place);
    until("the old one has ended", || !alive(old));
}

#[test]
fn who_has_had_its_requests_is_replaced_between_two_of_them() {
    let mut server = Server::start();
    server.configure(&[&["max_requests=3", "name=blog"]]);
    let old = server.ready(0, 1)[0];
    let segment = server.segment(0);
    for _ in 0..2 {
        segment.release(Owner::this_process(), claim(&segment));
    }
    let place = claim(&segment);
    is_replaced(&server, old, place);
    server.wait_for_line(&format!(
        "GW0907 process {old} of \"blog\" has had 3 requests, of which max_requests= allows no more"
    ));
    assert_eq!(server.ready(0, 1).len(), 1);
}

#[test]
fn who_has_grown_too_large_is_replaced_between_two_requests() {
    let mut server = Server::start();
    server.configure(&[&["max_rss=60m", "name=blog"]]);
    let old = server.ready(0, 1)[0];
    let segment = server.segment(0);
    let place = claim(&segment);
    assert_eq!(server.ask(0, place.slot(), "grow"), "done");
    is_replaced(&server, old, place);
    server.wait_for_line(&format!("GW0907 process {old} of \"blog\" has "));
    server.wait_for_line("MiB of resident memory, of which max_rss= allows no more");
    assert_eq!(server.ready(0, 1).len(), 1);
}

#[test]
fn who_is_old_is_replaced() {
    let mut server = Server::start();
    server.configure(&[&["lifetime=1s", "name=blog"]]);
    let segment = server.segment(0);
    let place = claim(&segment);
    let old = segment.slot(place.slot()).pid;
    is_replaced(&server, old, place);
    server.wait_for_line(&format!("GW0907 process {old} of \"blog\" has reached the age of lifetime="));
}
