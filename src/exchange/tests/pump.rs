// SPDX-License-Identifier: MIT OR Apache-2.0
//! A WebSocket's bytes between a connection that does as it is told and a handler.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    super::pump::{ConnectionLost, PumpWait, SocketEnd, SocketPump, Transport, TransportRead},
    channel::posts,
    *,
};
use crate::protocol::websocket::{Content, SocketEvent, SocketRules, tests::frame};

const MIB: usize = 1024 * 1024;

/// A connection: what the client sends, and how much it takes.
#[derive(Default)]
struct Client {
    sends: VecDeque<u8>,
    has_ended: bool,
    /// Its turn is over.
    is_late: bool,
    /// How often it was read from.
    reads: usize,
    room: usize,
    /// What was taken is kept, and does not leave.
    keeps: bool,
    has_got: Vec<u8>,
}

impl Transport for Client {
    const PART: usize = 16 * 1024;

    fn receive(&mut self, into: &mut [u8]) -> TransportRead {
        if self.is_late {
            return TransportRead::NextTurn;
        }
        self.reads += 1;
        let count = into.len().min(self.sends.len());
        for (place, byte) in into.iter_mut().zip(self.sends.drain(..count)) {
            *place = byte;
        }
        match count {
            0 if self.has_ended => TransportRead::End,
            0 => TransportRead::Later,
            _ => TransportRead::Bytes(count),
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, ConnectionLost> {
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.has_got.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<bool, ConnectionLost> {
        Ok(!self.keeps)
    }
}

fn socket(unread: &[u8]) -> (Arc<SocketLink>, SocketPump, Client) {
    let rules = SocketRules {
        message_most: 64 * MIB,
        compression: None,
        ping_every: Some(Duration::from_secs(20)),
        ping_wait: Duration::from_secs(20),
        close_wait: Duration::ZERO,
        idle: None,
    };
    let link = Arc::new(SocketLink::new(1, posts().0, None, rules));
    let pump = SocketPump::new(Arc::clone(&link), unread.to_vec());
    (link, pump, Client { room: MIB, ..Client::default() })
}

fn goes_on(pump: &mut SocketPump, client: &mut Client) -> PumpWait {
    pump.step(client).expect("it goes on")
}

/// The lengths of the messages that the handler is given.
fn messages(link: &SocketLink) -> Vec<usize> {
    let message = |event| match event {
        SocketEvent::Message(message) => message.payload.len(),
        SocketEvent::Closed { code, .. } => usize::from(code),
    };
    std::iter::from_fn(|| link.receive(Wait::No).ok().map(message)).collect()
}

#[test]
fn what_came_with_the_handshake_is_read_first() {
    let (link, mut pump, mut client) = socket(&frame(0x82, b"early"));
    client.sends.extend(frame(0x82, b"after it"));
    let wait = goes_on(&mut pump, &mut client);
    assert_eq!(messages(&link), [5, 8]);
    assert_eq!((wait.reads, wait.reads_on, wait.is_stalled, wait.has_progress), (true, false, false, false));
    assert!(wait.look_at.is_some_and(|at| at > Instant::now()), "a ping is due");
}

#[test]
fn a_client_that_sends_without_end_is_read_in_turns() {
    let (link, mut pump, mut client) = socket(b"");
    client.sends.extend(frame(0x82, &vec![0; MIB]));
    let mut turns = 0;
    while goes_on(&mut pump, &mut client).reads_on {
        turns += 1;
        assert_eq!(client.reads, turns * 16);
    }
    assert_eq!((turns, messages(&link)), (4, vec![MIB]));
}

#[test]
fn a_client_whose_turn_is_over_is_written_to_and_read_in_the_next_one() {
    let (link, mut pump, mut client) = socket(b"");
    client.sends.extend(frame(0x82, b"late"));
    client.is_late = true;
    assert!(link.send(Content::Text, b"now", Wait::No).is_ok());
    let wait = goes_on(&mut pump, &mut client);
    assert!(wait.reads && wait.reads_on && wait.has_progress && client.has_got.ends_with(b"now"));
    assert!(messages(&link).is_empty());
    client.is_late = false;
    assert!(!goes_on(&mut pump, &mut client).reads_on);
    assert_eq!(messages(&link), [4]);
}

#[test]
fn what_the_handler_is_not_ready_for_waits_and_nothing_more_is_read() {
    let (link, mut pump, mut client) = socket(b"");
    for _ in 0..100 {
        client.sends.extend(frame(0x82, &[0; 8000]));
    }
    while goes_on(&mut pump, &mut client).reads_on {}
    let (reads, left) = (client.reads, client.sends.len());
    assert!(left > 0, "it holds only so much");
    assert!(!goes_on(&mut pump, &mut client).reads);
    assert_eq!((client.reads, client.sends.len()), (reads, left));
    let mut found = messages(&link);
    while found.len() < 100 {
        goes_on(&mut pump, &mut client);
        found.extend(messages(&link));
    }
    assert_eq!((found, client.sends.len()), (vec![8000; 100], 0));
}

#[test]
fn a_client_that_takes_nothing_stalls_it() {
    let (link, mut pump, mut client) = socket(b"");
    client.room = 3;
    link.send(Content::Text, b"hello", Wait::No).unwrap();
    let wait = goes_on(&mut pump, &mut client);
    assert_eq!((wait.is_stalled, wait.has_progress), (true, true));
    let wait = goes_on(&mut pump, &mut client);
    assert_eq!((wait.is_stalled, wait.has_progress), (true, false));
    client.room = MIB;
    let wait = goes_on(&mut pump, &mut client);
    assert_eq!((wait.is_stalled, wait.has_progress), (false, true));
    assert_eq!(client.has_got, b"\x81\x05hello");
    (client.keeps, client.has_got) = (true, Vec::new());
    assert!(goes_on(&mut pump, &mut client).is_stalled, "what was taken has not left");
    pump.give_up();
    assert!(link.is_over());
}

#[test]
fn it_ends_when_both_have_closed_and_the_last_bytes_have_left() {
    let (link, mut pump, mut client) = socket(b"");
    client.sends.extend(frame(0x88, &1000u16.to_be_bytes()));
    (client.keeps, client.has_ended) = (true, false);
    let wait = goes_on(&mut pump, &mut client);
    assert!(wait.is_stalled && !wait.reads && wait.look_at.is_some_and(|at| at > Instant::now()));
    client.keeps = false;
    assert_eq!(pump.step(&mut client), Err(SocketEnd::Agreed));
    assert_eq!((messages(&link), client.has_got[0]), (vec![1000], 0x88));
}

#[test]
fn it_breaks_when_the_client_has_ended() {
    let (link, mut pump, mut client) = socket(b"");
    client.has_ended = true;
    assert_eq!(pump.step(&mut client), Err(SocketEnd::Broken));
    assert_eq!(messages(&link), [1006]);
}

/// The time of a close frame that nobody answers is over at once here.
#[test]
fn nothing_waits_for_a_client_that_neither_closes_nor_reads() {
    let (link, mut pump, mut client) = socket(b"");
    client.room = 0;
    link.close(1000, "").unwrap();
    assert_eq!(pump.step(&mut client), Err(SocketEnd::Agreed));
}

#[test]
fn a_process_that_ends_closes_it_in_its_turn() {
    let (link, mut pump, mut client) = socket(b"");
    pump.drain(Duration::from_secs(1000), 1);
    let wait = goes_on(&mut pump, &mut client);
    assert!(wait.look_at.is_some() && !link.is_closed());
    let (link, mut pump, mut client) = socket(b"");
    pump.drain(Duration::ZERO, 1);
    // The rules give the client no time to answer.
    assert_eq!(pump.step(&mut client), Err(SocketEnd::Agreed));
    assert_eq!((messages(&link), &client.has_got[2..4]), (vec![1012], &[3, 244][..]));
    let (_, pump, mut client) = socket(b"");
    pump.end_now(&mut client);
    assert_eq!(&client.has_got[2..4], &[3, 244]);
}
