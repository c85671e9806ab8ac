// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for connections that requests share: on the worker's side against a second reading of the rules, on the host's side in
//! all parts.

use std::collections::BTreeSet;

use super::{applications, gateways::ways};
use crate::protocol::fastcgi::lanes::{ANSWER, LaneError, LaneEvent, LaneId, LaneRead, Lanes, NAME};

/// An input that fills no lane.
const MOST: usize = 64 * 1024;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const END: u8 = 3;
const CUT: u8 = 201;

/// What came of one connection: of the two requests that have a lane, and of one that has left its own.
#[derive(Debug, PartialEq)]
struct Shared {
    error: Option<LaneError>,
    /// What was read, and whether that was all of it.
    read: [(Vec<u8>, bool); 2],
    /// Who was told that there is something to read; and of the third, that it is free.
    told: BTreeSet<u16>,
}

/// What a host sends to a worker.
///
/// # Panics
/// When it is not what a second reading says, or the parts in which the bytes come make a difference.
pub fn lanes(data: &[u8]) {
    if data.len() > MOST {
        return;
    }
    let expected = by_hand(data);
    for way in ways(data) {
        assert_eq!(share(&way, data.len() % 2 == 1), expected);
        assert_eq!(take_from_connection(&way), expected.read.each_ref().map(|(bytes, _)| bytes.clone()));
    }
    applications::requests_in_lanes(data);
}

fn opened() -> Lanes {
    let mut lanes = Lanes::new();
    let (name, answer) = (NAME.len() as u8, ANSWER.len() as u8);
    let mut wire = vec![1, 10, 0, 0, 0, name + answer + 2, 0, 0, name, answer];
    wire.extend_from_slice(NAME);
    wire.extend_from_slice(ANSWER);
    assert_eq!(lanes.receive(&wire), Ok(()));
    assert!(lanes.is_open() && lanes.is_idle());
    lanes
}

fn begun(lanes: &mut Lanes) -> LaneId {
    let Some(lane) = lanes.take() else { panic!("a connection that is open has lanes") };
    lanes.send(lane, &[1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
    lane
}

fn share(parts: &[&[u8]], is_told_to_end: bool) -> Shared {
    let mut lanes = opened();
    let (one, two, left) = (begun(&mut lanes), begun(&mut lanes), begun(&mut lanes));
    let is_free = if is_told_to_end { lanes.leave(left) } else { lanes.leave_running(left) };
    assert!(!is_free);
    let error = parts.iter().find_map(|part| lanes.receive(part).err());
    let mut told = BTreeSet::new();
    while let Some(event) = lanes.next_event() {
        let known = [LaneEvent::Readable(one), LaneEvent::Readable(two), LaneEvent::Free(left)];
        let number = known.iter().position(|known| *known == event);
        assert!(number.is_some_and(|number| told.insert(number as u16 + 1)), "{event:?} twice, or of nobody");
    }
    let read = [one, two].map(|lane| {
        let mut all = Vec::new();
        loop {
            let mut room = [0; 100];
            match lanes.read(lane, &mut room) {
                LaneRead::Bytes(count) => all.extend_from_slice(room.get(..count).unwrap_or_default()),
                LaneRead::Nothing => break (all, false),
                LaneRead::End => break (all, true),
            }
        }
    });
    assert_eq!(lanes.is_over(), error.is_some());
    for (lane, (_, is_whole)) in [one, two].into_iter().zip(&read) {
        assert_eq!(lanes.leave(lane), *is_whole);
    }
    Shared { error, read, told }
}

/// What the readers of two lanes get that take from the connection itself whatever they may.
fn take_from_connection(parts: &[&[u8]]) -> [Vec<u8>; 2] {
    let mut lanes = opened();
    let own = [begun(&mut lanes), begun(&mut lanes)];
    let left = begun(&mut lanes);
    let _ = lanes.leave(left);
    let mut all = [const { Vec::new() }; 2];
    let read = |lanes: &mut Lanes, number: usize, all: &mut Vec<u8>| {
        let mut room = [0; 100];
        while let Some(lane) = own.get(number)
            && let LaneRead::Bytes(count) = lanes.read(*lane, &mut room)
        {
            all.extend_from_slice(room.get(..count).unwrap_or_default());
        }
    };
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() && !lanes.is_over() {
            let ahead = lanes.ahead();
            let number = ahead.and_then(|ahead| own.iter().position(|lane| *lane == ahead.lane));
            let (now, later) = match (ahead, number) {
                (Some(ahead), Some(number)) if let Some(all) = all.get_mut(number) => {
                    read(&mut lanes, number, all);
                    assert_eq!(lanes.may_pass(ahead.lane), ahead.count);
                    let (now, later) = rest.split_at_checked(ahead.count).unwrap_or((rest, &[]));
                    all.extend_from_slice(now);
                    lanes.passed(ahead.lane, now.len());
                    (now, later)
                }
                _ => {
                    let (now, later) = rest.split_at_checked(1).unwrap_or((rest, &[]));
                    let _ = lanes.receive(now);
                    (now, later)
                }
            };
            assert!(!now.is_empty());
            rest = later;
        }
    }
    for (number, all) in all.iter_mut().enumerate() {
        read(&mut lanes, number, all);
    }
    all
}

fn by_hand(data: &[u8]) -> Shared {
    let (mut read, mut ended, mut told) = ([const { Vec::new() }; 2], [false; 3], BTreeSet::new());
    let (mut error, mut rest) = (None, data);
    while let &[version, kind, high, low, c, d, padding, _, ref behind @ ..] = rest {
        let (id, length) = (u16::from(high) * 256 + u16::from(low), usize::from(c) * 256 + usize::from(d));
        let belongs = matches!((kind, length), (STDOUT | STDERR, _) | (END, 8) | (CUT, 0));
        let number = usize::from(id).wrapping_sub(1);
        error = match ended.get(number) {
            _ if version != 1 => Some(LaneError::Version(version)),
            _ if !belongs => Some(LaneError::Type(kind)),
            None | Some(true) => Some(LaneError::NoRequest(id)),
            Some(false) => None,
        };
        if error.is_some() {
            break;
        }
        let content = behind.get(..length).unwrap_or(behind);
        if let Some(all) = read.get_mut(number).filter(|_| kind != CUT) {
            all.extend_from_slice(&[1, kind, 0, 1, c, d, 0, 0]);
            all.extend_from_slice(content);
            told.extend((!content.is_empty()).then_some(id));
        }
        if matches!(kind, END | CUT) && content.len() == length {
            told.insert(id);
            ended.iter_mut().skip(number).take(1).for_each(|ended| *ended = true);
        }
        rest = behind.get(length + usize::from(padding)..).unwrap_or_default();
    }
    if error.is_some() {
        told.extend(1..=3);
    }
    let mut ends = ended.into_iter().map(|ended| ended || error.is_some());
    let read = read.map(|all| (all, ends.next() == Some(true)));
    Shared { error, read, told }
}
