// SPDX-License-Identifier: MIT OR Apache-2.0
//! The channel between a handler's thread and a server's.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use super::*;

/// Tells a test of each post.
pub(super) struct Posts(Mutex<Sender<u64>>);

impl Notify for Posts {
    fn post(&self, ticket: u64) {
        // The error is that the test does not look any more.
        let _ = lock(&self.0).send(ticket);
    }

    fn log(&self, _ticket: u64, _level: Level, _line: &str) {}
}

pub(super) fn posts() -> (Arc<Posts>, Receiver<u64>) {
    let (tell, told) = mpsc::channel();
    (Arc::new(Posts(Mutex::new(tell))), told)
}

fn delivery(pieces: impl IntoIterator<Item = Piece>, end: Option<End>) -> Delivery {
    Delivery { head: None, pieces: pieces.into_iter().collect(), end, ..Delivery::default() }
}

#[test]
fn one_post_stands_for_all_that_waits() {
    let (notify, posted) = posts();
    let channel = Channel::new(7, notify, Body::default(), ROOM);
    for _ in 0..5 {
        channel.deliver(delivery([copied(10)], None)).unwrap();
    }
    assert_eq!(posted.try_iter().collect::<Vec<_>>(), [7]);
    assert_eq!(channel.take().weight(), 50);
    channel.deliver(delivery([copied(1)], Some(End::Complete))).unwrap();
    assert_eq!(posted.try_iter().count(), 1, "after take() the next one is posted again");
    assert_eq!(channel.take().end, Some(End::Complete));
    assert!(channel.take().pieces.is_empty());
}

#[test]
fn nothing_is_left_behind_between_the_servers_two_questions() {
    let (notify, posted) = posts();
    let channel = Channel::fed(7, notify, ROOM);
    channel.deliver(delivery([copied(1)], None)).unwrap();
    assert_eq!(channel.take().weight(), 1);
    channel.deliver(delivery([copied(2)], None)).unwrap();
    assert!(!channel.wants_body(), "asked between two takes");
    // Two posts for two deliveries: the server comes again for the second.
    assert_eq!(posted.try_iter().count(), 2);
    assert_eq!(channel.take().weight(), 2);
}

#[test]
fn room_is_what_has_not_been_sent() {
    let (notify, _) = posts();
    let channel = Channel::new(1, notify, Body::default(), 100);
    channel.room(Wait::No).unwrap();
    channel.deliver(delivery([copied(100)], None)).unwrap();
    assert_eq!(channel.room(Wait::No), Err(Stop::Again));
    let _ = channel.take();
    assert_eq!(channel.room(Wait::No), Err(Stop::Again), "taken is not sent");
    channel.sent(1);
    assert_eq!(channel.room(Wait::No), Ok(()));
    assert!(channel.has_outstanding());
    channel.sent(1000);
    assert!(!channel.has_outstanding());
}

/// Runs `wait` on a thread of its own and answers what it says, after `then` has been done.
fn while_waiting<R: Send>(wait: impl FnOnce() -> R + Send, then: impl FnOnce()) -> R {
    thread::scope(|scope| {
        let waits = scope.spawn(wait);
        then();
        waits.join().unwrap()
    })
}

fn full() -> Arc<Channel> {
    let channel = Channel::new(1, posts().0, Body::default(), 1);
    channel.deliver(delivery([copied(1)], None)).unwrap();
    channel
}

#[test]
fn a_writer_that_waits_is_woken_by_room_and_by_cancellation() {
    let channel = full();
    assert_eq!(while_waiting(|| channel.room(Wait::Yes), || channel.sent(1)), Ok(()));
    let channel = full();
    assert_eq!(while_waiting(|| channel.room(Wait::Yes), || channel.cancel()), Err(Stop::Cancelled));
    assert_eq!(channel.room(Wait::No), Err(Stop::Cancelled));
}

#[test]
fn cancellation_frees_what_waits_at_once() {
    let lender = Lender::default();
    let channel = Channel::new(1, posts().0, Body::default(), ROOM);
    channel.deliver(delivery([lender.lend(b"1"), lender.lend(b"2")], None)).unwrap();
    channel.cancel();
    assert_eq!(lender.released(), 2);
    assert_eq!(channel.deliver(delivery([lender.lend(b"3")], None)), Err(Stop::Cancelled));
    assert_eq!(lender.released(), 3);
    channel.deliver(delivery([lender.lend(b"4")], Some(End::Failed))).unwrap();
    assert_eq!(channel.take().end, Some(End::Failed), "an end passes");
    assert_eq!(lender.released(), 4);
}

#[test]
fn a_channel_that_goes_releases_what_waits() {
    let lender = Lender::default();
    let channel = Channel::new(1, posts().0, Body::default(), ROOM);
    channel.deliver(delivery([lender.lend(b"1")], None)).unwrap();
    drop(channel);
    assert_eq!(lender.released(), 1);
}

fn read(channel: &Channel, wait: Wait) -> Result<Vec<u8>, Stop> {
    let mut buffer = [0; 4];
    let count = channel.read_body(&mut buffer, wait)?;
    Ok(buffer[..count].to_vec())
}

#[test]
fn a_fed_body_is_asked_for_when_it_is_wanted() {
    let (notify, posted) = posts();
    let channel = Channel::fed(1, notify, ROOM);
    assert!(!channel.wants_body());
    assert_eq!(read(&channel, Wait::No), Err(Stop::Again));
    assert_eq!(read(&channel, Wait::No), Err(Stop::Again));
    assert_eq!(posted.try_iter().count(), 1, "asked once");
    assert!(channel.wants_body());
    channel.feed(b"12345");
    assert!(!channel.wants_body());
    assert_eq!(read(&channel, Wait::No), Ok(b"1234".to_vec()));
    assert_eq!(read(&channel, Wait::Yes), Ok(b"5".to_vec()));
    assert_eq!(read(&channel, Wait::No), Err(Stop::Again));
    channel.feed(b"6");
    channel.end_body(true);
    assert_eq!(read(&channel, Wait::Yes), Ok(b"6".to_vec()), "the end comes after the bytes");
    assert_eq!(read(&channel, Wait::Yes), Ok(Vec::new()));
    assert_eq!(read(&channel, Wait::Yes), Ok(Vec::new()), "and stays");
}

#[test]
fn a_reader_that_waits_is_woken_by_everything_that_can_happen() {
    for (happens, expected) in
        [(0, Ok(b"fed".to_vec())), (1, Ok(Vec::new())), (2, Err(Stop::Failed)), (3, Err(Stop::Cancelled))]
    {
        let (notify, posted) = posts();
        let channel = Channel::fed(1, notify, ROOM);
        let happen = || {
            posted.recv().unwrap();
            match happens {
                0 => channel.feed(b"fed"),
                1 => channel.end_body(true),
                2 => channel.end_body(false),
                _ => channel.cancel(),
            }
        };
        assert_eq!(while_waiting(|| read(&channel, Wait::Yes), happen), expected);
    }
}

#[test]
fn a_body_file_that_shrank_is_an_error_with_a_line() {
    let mailbox = Arc::new(Mailbox::default());
    let part = BodyPart::File { file: File::open("/dev/null").unwrap(), offset: 0, len: 5 };
    let channel = Channel::new(1, mailbox.clone(), Body::new([part]), ROOM);
    assert_eq!(read(&channel, Wait::Yes), Err(Stop::Failed));
    let (posted, lines) = mailbox.wait(None);
    assert!(!posted && lines[0].1.starts_with("GW0507 cannot read the request body"), "{lines:?}");
}

#[test]
fn a_mailbox_waits_until_its_deadline() {
    let mailbox = Mailbox::default();
    assert_eq!(mailbox.wait(Some(Instant::now())), (false, Vec::new()));
    let until = Instant::now() + Duration::from_millis(5);
    assert_eq!(mailbox.wait(Some(until)), (false, Vec::new()));
    assert!(Instant::now() >= until);
    mailbox.post(1);
    mailbox.log(1, Level::Info, "line");
    assert_eq!(mailbox.wait(None), (true, vec![(Level::Info, "line".into())]));
}

/// A handler that writes as fast as it can and a server that takes and sends as it is told.
#[test]
fn nothing_is_lost_between_two_threads() {
    const WRITES: usize = if cfg!(miri) { 200 } else { 20_000 };
    let mailbox = Arc::new(Mailbox::default());
    let channel = Channel::new(1, mailbox.clone(), Body::default(), 64);
    let (mut got, mut most, mut end) = (0, 0, None);
    thread::scope(|scope| {
        scope.spawn(|| {
            for write in 0..WRITES {
                channel.room(Wait::Yes).unwrap();
                let end = (write + 1 == WRITES).then_some(End::Complete);
                channel.deliver(delivery([copied(1 + write % 7)], end)).unwrap();
            }
        });
        while end.is_none() {
            let (posted, _) = mailbox.wait(Some(Instant::now() + Duration::from_secs(30)));
            assert!(posted, "the handler is not heard of after {got} bytes");
            let delivery = channel.take();
            let weight = delivery.weight();
            (got, most, end) = (got + weight, most.max(weight), delivery.end);
            channel.sent(weight);
        }
    });
    assert_eq!(got, (0..WRITES).map(|write| 1 + write % 7).sum());
    assert!(most < 64 + 7, "{most} bytes waited");
}

/// As [`Posts`], and whether it was soon, or told.
struct Kinds(Mutex<Vec<&'static str>>);

impl Notify for Kinds {
    fn post(&self, _: u64) {
        lock(&self.0).push("now");
    }

    fn post_late(&self, _: u64) {
        lock(&self.0).push("late");
    }

    fn post_soon(&self, _: u64, _: Instant) {
        lock(&self.0).push("soon");
    }

    fn tell(&self) {
        lock(&self.0).push("told");
    }

    fn log(&self, _ticket: u64, _level: Level, _line: &str) {}
}

fn kinds() -> (Arc<Kinds>, Arc<Channel>) {
    let kinds = Arc::new(Kinds(Mutex::default()));
    let channel = Channel::new(7, Arc::<Kinds>::clone(&kinds), Body::default(), 64);
    (kinds, channel)
}

#[test]
fn what_is_to_leave_soon_leaves_with_the_end_and_its_length() {
    let (kinds, channel) = kinds();
    let head = Head::check(200, b"", std::iter::empty()).unwrap();
    channel.deliver_soon(Delivery { head: Some(head), ..delivery([copied(3)], None) }).unwrap();
    channel.deliver_soon(delivery([copied(4)], None)).unwrap();
    assert_eq!(*lock(&kinds.0), ["soon"]);
    channel.deliver(delivery([], Some(End::Complete))).unwrap();
    assert_eq!(*lock(&kinds.0), ["soon", "told"]);
    assert_eq!(channel.take().head.unwrap().content_length, Some(7));
}

#[test]
fn a_handler_that_goes_on_is_told_of_at_once_from_then_on() {
    let (kinds, channel) = kinds();
    channel.deliver_soon(delivery([copied(3)], None)).unwrap();
    assert_eq!(channel.take().weight(), 3, "the time was over");
    channel.deliver_soon(delivery([copied(4)], None)).unwrap();
    assert_eq!(*lock(&kinds.0), ["soon", "now"]);
    assert_eq!(channel.take().weight(), 4);
    channel.deliver(delivery([], Some(End::Failed))).unwrap();
    assert_eq!(lock(&kinds.0).len(), 3);
}

#[test]
fn who_waits_for_room_has_told_before() {
    let (kinds, channel) = kinds();
    channel.deliver_soon(delivery([copied(64)], None)).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| channel.room(Wait::Yes));
        while lock(&kinds.0).len() < 2 {
            thread::yield_now();
        }
        assert_eq!(channel.take().weight(), 64);
        channel.sent(64);
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
    assert_eq!(*lock(&kinds.0), ["soon", "told"]);
}
