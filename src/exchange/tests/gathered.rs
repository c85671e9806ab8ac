// SPDX-License-Identifier: MIT OR Apache-2.0
//! A turn of a thread that answers several requests.

use std::{
    os::fd::{AsFd, AsRawFd},
    thread,
    time::{Duration, Instant},
};

use super::{super::gather::GATHERED_MOST, *};
use crate::sys;

/// Ends the turn also when the test fails: another test may run on this thread.
struct Turn;

impl Turn {
    fn begin() -> Self {
        gather::gather(true);
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        gather::gather(false);
    }
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new().unwrap())
}

fn channel(outbox: &Arc<Outbox>, ticket: u64) -> Arc<Channel> {
    Channel::new(ticket, Arc::<Outbox>::clone(outbox), Body::default(), ROOM)
}

fn send(channel: &Channel) {
    channel.deliver(Delivery { pieces: vec![copied(1)], ..Delivery::default() }).unwrap();
}

fn is_readable(descriptor: &impl AsFd, within: Duration) -> bool {
    let mut entry = [libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    sys::poll(&mut entry, Some(within));
    entry[0].revents != 0
}

fn is_told(outbox: &Outbox) -> bool {
    is_readable(outbox.eventfd(), Duration::ZERO)
}

fn tickets(outbox: &Outbox) -> Vec<u64> {
    let mut events = Vec::new();
    outbox.drain(&mut events);
    let ticket = |event: &OutboxEvent| match event {
        OutboxEvent::Ready(ticket) | OutboxEvent::Line(ticket, ..) => *ticket,
    };
    events.iter().map(ticket).collect()
}

#[test]
fn a_loop_is_told_once_at_the_end_of_a_turn() {
    // On a machine that is busy a turn may last too long, and the next one is looked at.
    let is_short = (0..1000).any(|_| {
        let (outbox, other) = (outbox(), outbox());
        let (turn, begun) = (Turn::begin(), Instant::now());
        for ticket in 1..=3 {
            send(&channel(&outbox, ticket));
            send(&channel(&other, ticket + 10));
        }
        let is_early = is_told(&outbox) || is_told(&other);
        let is_short = begun.elapsed() < GATHERED_MOST;
        assert!(!is_early || !is_short, "told before the turn has ended");
        drop(turn);
        assert!(is_told(&outbox) && is_told(&other));
        assert_eq!((tickets(&outbox), tickets(&other)), (vec![1, 2, 3], vec![11, 12, 13]));
        is_short
    });
    assert!(is_short, "no turn was short");
}

#[test]
fn after_a_turn_nothing_waits() {
    let outbox = outbox();
    drop(Turn::begin());
    send(&channel(&outbox, 1));
    assert!(is_told(&outbox));
}

#[test]
fn other_threads_tell_at_once() {
    let outbox = outbox();
    let _turn = Turn::begin();
    thread::scope(|scope| scope.spawn(|| send(&channel(&outbox, 1))).join().unwrap());
    assert!(is_told(&outbox));
}

#[test]
fn a_loop_that_has_come_by_itself_is_not_told() {
    let outbox = outbox();
    let turn = Turn::begin();
    send(&channel(&outbox, 1));
    assert_eq!(tickets(&outbox), [1]);
    drop(turn);
    assert!(!is_told(&outbox));
}

#[test]
fn a_turn_that_lasts_tells_meanwhile() {
    let outbox = outbox();
    let _turn = Turn::begin();
    let begun = Instant::now();
    send(&channel(&outbox, 1));
    while begun.elapsed() < Duration::from_millis(1) {
        thread::yield_now();
    }
    send(&channel(&outbox, 2));
    assert!(is_told(&outbox));
}

#[test]
fn a_turn_that_does_not_end_holds_nothing_back() {
    let outbox = outbox();
    let _turn = Turn::begin();
    for ticket in 1..=2 {
        send(&channel(&outbox, ticket));
        assert!(is_readable(outbox.timerfd(), Duration::from_secs(60)));
        assert_eq!(tickets(&outbox), [ticket]);
    }
}
