// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker that wants no more of a response, and a handler that ends it, in every order of what they do.

use std::{io::Read, os::unix::net::UnixStream};

use gangway::{
    exchange::{Exchange, RequestHead},
    protocol::fastcgi::lanes::{ANSWER, LaneEvent, LaneId, LaneRead, Lanes, NAME, WINDOW},
};
use proptest::prelude::*;

use super::{super::LaneMessage, *};
use crate::sys::Epoll;

/// More than there is room for.
const BLOCK: usize = WINDOW + WINDOW / 2;
/// The second request's whole response, as its reader gets it.
const SECOND: &[u8] = b"\x01\x06\x00\x01\x00\x06\x00\x00second";

/// A request that a process has.
struct Running {
    port: Arc<LanePort>,
    exchange: Arc<Exchange>,
}

/// A worker and a process, and what is between them.
struct Shared {
    lanes: Lanes,
    lane: Option<LaneId>,
    second: Option<LaneId>,
    read: Vec<u8>,
    far: UnixStream,
    table: Arc<LaneTable>,
    /// What the worker has sent and the process has not decoded; what that has decoded and not done.
    wire: Vec<u8>,
    heard: Option<LaneMessage>,
    running: Option<Running>,
    has_ended: bool,
}

fn request() -> Vec<u8> {
    [[1, 1, 0, 1, 0, 8, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0], [1, 4, 0, 1, 0, 0, 0, 0], [1, 5, 0, 1, 0, 0, 0, 0]]
        .concat()
}

impl Shared {
    /// The process has a request of the worker's.
    fn new() -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let epoll = Arc::new(Epoll::new().unwrap());
        let table = Arc::new(LaneTable::new(&Arc::new(Connection::new(near.into(), 1)), &epoll));
        let mut lanes = Lanes::new();
        let (name, answer) = (NAME.len() as u8, ANSWER.len() as u8);
        let known = [&[1, 10, 0, 0, 0, name + answer + 2, 0, 0, name, answer], NAME, ANSWER].concat();
        lanes.receive(&known).unwrap();
        lanes.sent(lanes.output().len());
        let lane = lanes.take().unwrap();
        lanes.send(lane, &request());
        let (wire, read) = (Vec::new(), Vec::new());
        let (lane, second, heard, running, has_ended) = (Some(lane), None, None, None, false);
        let mut shared = Self { lanes, lane, second, read, far, table, wire, heard, running, has_ended };
        shared.tell();
        shared.hear();
        shared.act();
        assert!(shared.running.is_some());
        shared
    }

    /// The worker sends.
    fn tell(&mut self) {
        self.lanes.settle();
        self.wire.extend_from_slice(self.lanes.output());
        self.lanes.sent(self.lanes.output().len());
    }

    /// The process decodes one thing.
    fn hear(&mut self) {
        if self.heard.is_none() {
            let mut rest = self.wire.as_slice();
            self.heard = lock(self.table.incoming()).take(&mut rest).unwrap();
            self.wire = rest.to_vec();
        }
    }

    /// The process does it.
    fn act(&mut self) {
        match self.heard.take() {
            Some(LaneMessage::Request(request)) => {
                let port = Arc::new(LanePort::new(
                    &self.table,
                    request.id,
                    Clock::of_one_that_waited(Duration::ZERO),
                ));
                let exchange = Exchange::new(RequestHead::default(), Arc::<LanePort>::clone(&port));
                port.state.set_exchange(&exchange);
                self.table.begin(request.id, Arc::<LanePort>::clone(&port), &exchange);
                if self.running.is_some() {
                    port.deliver(whole(b"second")).unwrap();
                    port.finish(false);
                }
                self.running.get_or_insert(Running { port, exchange });
            }
            Some(LaneMessage::Aborted(id)) => self.table.abort(id),
            Some(LaneMessage::Granted(id, bytes)) => {
                self.table.port(id).iter().for_each(|port| port.grant(bytes))
            }
            None => {}
            other => panic!("{other:?}"),
        }
    }

    /// The handler gives a block, as far as it need not wait.
    fn give(&self) {
        let port = &self.running.as_ref().unwrap().port;
        let mut response = lock(&port.response);
        if !self.has_ended && port.state.live().is_ok() && response.rest.is_empty() {
            response.head_sent = true;
            let outgoing = port.give(&mut response, Vec::new(), vec![Piece::Copied(vec![b'x'; BLOCK])]);
            port.post(&mut response, outgoing, false);
        }
    }

    /// The handler ends.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let Running { port, exchange } = self.running.as_ref().unwrap();
            let _ = port.deliver(whole(b"end"));
            port.finish(false);
            assert!(exchange.cancelled().is_some() || lock(&port.response).is_over);
        }
    }

    /// The worker reads.
    fn receive(&mut self) {
        let mut part = vec![0; WINDOW];
        while let Ok(count @ 1..) = self.far.read(&mut part) {
            self.lanes.receive(&part[..count]).unwrap();
        }
        if let Some(lane) = self.lane {
            while let LaneRead::Bytes(_) = self.lanes.read(lane, &mut part) {}
        }
        while let Some(event) = self.lanes.next_event() {
            if let LaneEvent::Free(_) = event {
                self.begin_second();
            }
        }
        if let Some(second) = self.second {
            while let LaneRead::Bytes(count) = self.lanes.read(second, &mut part) {
                self.read.extend_from_slice(&part[..count]);
            }
        }
    }

    /// The worker wants no more of the response.
    fn leave(&mut self) {
        if let Some(lane) = self.lane.take()
            && self.lanes.leave(lane)
        {
            self.begin_second();
        }
    }

    /// Another request, which gets the number of the first.
    fn begin_second(&mut self) {
        let lane = self.lanes.take().unwrap();
        assert!(lane.number() == 1 && self.second.replace(lane).is_none());
        self.lanes.send(lane, &request());
    }

    fn step(&mut self, step: u8) {
        match step {
            0 => self.tell(),
            1 => self.hear(),
            2 => self.act(),
            3 => self.give(),
            4 => self.end(),
            5 => self.receive(),
            _ => self.leave(),
        }
    }
}

/// A whole response.
fn whole(body: &[u8]) -> Delivery {
    Delivery { pieces: vec![Piece::Copied(body.to_vec())], end: Some(End::Complete), ..Delivery::default() }
}

/// Whatever has happened, the process gives the number free once, and the next request that has it gets its own response.
fn check(steps: &[u8]) {
    let mut shared = Shared::new();
    steps.iter().for_each(|step| shared.step(*step));
    shared.leave();
    shared.end();
    for _ in 0..20 {
        [0, 1, 2, 5].iter().for_each(|step| shared.step(*step));
    }
    assert!(shared.second.is_some(), "the number is not free after {steps:?}");
    assert!(
        shared.read.starts_with(SECOND),
        "another response after {steps:?}: {:?}",
        &shared.read[..shared.read.len().min(80)]
    );
    assert_eq!(shared.read.len(), SECOND.len() + 16, "after {steps:?}");
    assert!(shared.table.is_idle());
}

#[test]
fn an_abort_that_is_read_while_the_response_ends_ends_nothing_else() {
    // The abort has been decoded; the response ends, the worker reads that and gives the number away; then the abort is looked at.
    check(&[6, 0, 1, 4, 5, 0, 2, 1, 2]);
}

#[test]
fn a_handler_that_gives_up_is_the_end_although_nothing_is_granted() {
    let mut shared = Shared::new();
    [3, 6, 0, 1, 2, 4].iter().for_each(|step| shared.step(*step));
    assert!(shared.table.is_idle(), "what nobody takes waits for room");
}

proptest! {
    #[test]
    fn in_every_order_the_next_request_gets_its_own_response(steps in proptest::collection::vec(0u8..7, 0..40)) {
        check(&steps);
    }
}
