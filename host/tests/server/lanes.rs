// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several requests on one connection of a worker of ours.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::world::{Connection, Host, Request, management};

/// FCGI_GET_VALUES and its answer (§4.1), and the end of a request (§5.5).
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;
const END_REQUEST: u8 = 3;

fn open_lanes(host: &Host) -> Connection {
    let mut connection = host.connect();
    connection.send(&management(GET_VALUES, b"\x0d\0GANGWAY_LANES"));
    let (kind, _, content) = connection.record().unwrap();
    assert_eq!((kind, content.as_slice()), (GET_VALUES_RESULT, b"\x0d\x01GANGWAY_LANES1".as_slice()));
    connection
}

/// Waits for the ends of these requests.
fn await_ends(connection: &mut Connection, ids: &[u16]) {
    let mut left: BTreeSet<_> = ids.iter().copied().collect();
    while !left.is_empty() {
        let (kind, id, _) = connection.record().unwrap();
        if kind == END_REQUEST {
            assert!(left.remove(&id), "lane {id}");
        }
    }
}

/// A thread that has run a handler looks for the next request and then waits for an event. The other one that reads meanwhile must
/// not put a request between the two.
#[test]
fn a_request_that_comes_while_another_ends_is_served() {
    let host = Host::start(&["threads=1"]);
    let mut connection = open_lanes(&host);
    let (first, second) = (Request::new("/hello").id(1).bytes(), Request::new("/hello").id(2).bytes());
    for round in 0..6000_u32 {
        connection.send(&first);
        let pause = Duration::from_nanos(u64::from(round % 300) * 500);
        let begun = Instant::now();
        while begun.elapsed() < pause {
            std::hint::spin_loop();
        }
        connection.send(&second);
        await_ends(&mut connection, &[1, 2]);
    }
}
