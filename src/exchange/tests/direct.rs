// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages that the handler's thread writes to the client's socket itself.

use std::{
    io::Read,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::mpsc::Receiver,
    thread,
    time::Duration,
};

use super::{
    super::pump::{SocketEnd, SocketPump},
    channel::posts,
    plain::{Plain, RULES},
    *,
};
use crate::{
    protocol::websocket::{Content, tests::frame},
    sys::receive_now,
};

/// A WebSocket that has been looked at once, its client, and what its server is told.
fn shared() -> (Arc<SocketLink>, SocketPump, Plain, UnixStream, Receiver<u64>) {
    let (notify, told) = posts();
    let (socket, client) = UnixStream::pair().unwrap();
    let link = Arc::new(SocketLink::new(1, notify, None, RULES));
    let mut pump = SocketPump::new(Arc::clone(&link), Vec::new());
    let mut plain = Plain::new(socket);
    pump.step(&mut plain).unwrap();
    (link, pump, plain, client, told)
}

fn got(client: &UnixStream) -> Vec<u8> {
    let mut room = [0; 4096];
    let count = receive_now(client.as_raw_fd(), &mut room).unwrap().unwrap_or(0);
    room[..count].to_vec()
}

#[test]
fn a_message_leaves_without_the_server() {
    let (link, mut pump, mut plain, client, told) = shared();
    link.send(Content::Text, b"hello", Wait::No).unwrap();
    assert_eq!((got(&client), told.try_iter().count()), (b"\x81\x05hello".to_vec(), 0));
    pump.step(&mut plain).unwrap();
    assert_eq!((plain.written, plain.told_written), (0, 7), "it is counted");
}

#[test]
fn before_the_first_look_it_leaves_by_the_server() {
    let (notify, told) = posts();
    let link = Arc::new(SocketLink::new(1, notify, None, RULES));
    link.send(Content::Text, b"early", Wait::No).unwrap();
    assert_eq!(told.try_iter().count(), 1);
}

#[test]
fn what_the_client_does_not_take_is_left_to_the_server_and_so_is_what_follows() {
    let (link, mut pump, mut plain, client, told) = shared();
    let message = vec![b'x'; 60_000];
    while told.try_iter().count() == 0 {
        link.send(Content::Binary, &message, Wait::No).unwrap();
    }
    link.send(Content::Text, b"last", Wait::No).unwrap();
    let mut all = Vec::new();
    while !all.ends_with(b"\x81\x04last") {
        all.extend(got(&client));
        pump.step(&mut plain).unwrap();
    }
    assert!(plain.written > 0 && plain.told_written > 0);
    assert_eq!(plain.written + plain.told_written, all.len());
    assert_eq!((all.len() - 6) % (message.len() + 4), 0);
    got(&client);
    told.try_iter().count();
    link.send(Content::Text, b"again", Wait::No).unwrap();
    assert_eq!((got(&client), told.try_iter().count()), (b"\x81\x05again".to_vec(), 0));
}

#[test]
fn one_that_sends_without_end_goes_on_by_the_server() {
    let (link, mut pump, mut plain, client, told) = shared();
    let message = vec![b'x'; 60_000];
    let mut sends = |told: &Receiver<u64>| {
        let direct = (0..10_000).find(|_| {
            link.send(Content::Binary, &message, Wait::No).unwrap();
            (0..20).for_each(|_| drop(receive_now(client.as_raw_fd(), &mut [0; 4096])));
            told.try_iter().count() > 0
        });
        pump.step(&mut plain).unwrap();
        while !got(&client).is_empty() {}
        direct
    };
    // About as much as there is room for, unless a turn takes very long here.
    let first = sends(&told).unwrap();
    assert!(first >= 4, "{first}");
    // Whoever has waited for a message begins anew.
    assert_eq!(link.receive(Wait::No).unwrap_err(), Stop::Again);
    assert!(sends(&told).unwrap() >= 4);
}

#[test]
fn nobody_else_writes_when_it_has_ended() {
    let (link, mut pump, mut plain, client, told) = shared();
    pump.drain(Duration::ZERO, 1);
    pump.step(&mut plain).unwrap();
    assert_eq!(got(&client)[0], 0x88);
    assert!(link.send(Content::Text, b"late", Wait::No).is_err());
    let (other, mut ended, mut other_plain, gone, _) = shared();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(ended.step(&mut other_plain), Err(SocketEnd::Broken));
    assert!(other.send(Content::Text, b"late", Wait::No).is_err());
    assert!(got(&gone).is_empty());
    // A pump that is dropped has no socket any more.
    let (link, pump, _plain, client, told_of_it) = shared();
    drop(pump);
    link.send(Content::Text, b"kept", Wait::No).unwrap();
    assert_eq!((got(&client).len(), told_of_it.try_iter().count()), (0, 1));
    drop(told);
}

/// A client may send its close frame and close its side at once, also while the handler's thread writes.
#[test]
fn the_answer_to_a_last_word_does_not_get_lost() {
    for _ in 0..1000 {
        let (link, mut pump, mut plain, mut client, _told) = shared();
        let handler = thread::spawn(move || {
            // No more than the socket holds.
            (0..100).all(|_| link.send(Content::Binary, &[b'm'; 500], Wait::Yes).is_ok())
        });
        // It has begun.
        let mut all = vec![0];
        client.read_exact(&mut all).unwrap();
        let mut writer = client.try_clone().unwrap();
        let reader = thread::spawn(move || {
            client.read_to_end(&mut all).unwrap();
            all
        });
        std::io::Write::write_all(&mut writer, &frame(0x88, &[3, 0xe8])).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
        while pump.step(&mut plain).is_ok() {}
        drop((pump, plain));
        handler.join().unwrap();
        assert!(reader.join().unwrap().ends_with(b"\x88\x02\x03\xe8"));
    }
}

/// Both threads at once: frames stay whole and in order, none is lost and none left waiting, and the answers to pings come between them.
#[test]
fn two_threads_write_one_after_the_other() {
    const MESSAGES: u32 = 20_000;
    const PINGS: usize = 500;
    let (link, mut pump, mut plain, client, told) = shared();
    // The connection does not end before the test.
    let (mut writer, _open) = (client.try_clone().unwrap(), client.try_clone().unwrap());
    let ask = |writer: &mut UnixStream| std::io::Write::write_all(writer, &frame(0x89, b"ping")).unwrap();
    ask(&mut writer);
    pump.step(&mut plain).unwrap();
    let handler = thread::spawn(move || {
        for number in 0..MESSAGES {
            let length = 8 + (number as usize * 7919) % 3000;
            let mut message = number.to_be_bytes().to_vec();
            message.resize(length, b'm');
            link.send(Content::Binary, &message, Wait::Yes).unwrap();
        }
    });
    let pinger = thread::spawn(move || {
        for _ in 1..PINGS {
            ask(&mut writer);
            thread::yield_now();
        }
    });
    let reader = thread::spawn(move || read_frames(client, MESSAGES));
    // Where this thread gets little to do the last pings come when all messages have been read.
    while !reader.is_finished() || !pinger.is_finished() {
        let wait = pump.step(&mut plain).unwrap();
        if !wait.is_stalled && !wait.reads_on {
            // Whatever is left is told of: a message that is not would end this by the time limit of the client.
            let _ = told.recv_timeout(Duration::from_millis(1));
        }
    }
    handler.join().unwrap();
    pinger.join().unwrap();
    let pongs = reader.join().unwrap();
    assert!(pongs > 0 && pongs <= PINGS);
}

/// Reads so many messages, which are numbered. Answers how many pongs came between them.
fn read_frames(mut client: UnixStream, messages: u32) -> usize {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut next, mut pongs) = (0, 0);
    while next < messages {
        let mut head = [0; 2];
        client.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                client.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        client.read_exact(&mut payload).unwrap();
        if head[0] == 0x8a {
            assert_eq!(payload, b"ping");
            pongs += 1;
        } else {
            assert_eq!((head[0], &payload[..4]), (0x82, &next.to_be_bytes()[..]));
            next += 1;
        }
    }
    pongs
}
