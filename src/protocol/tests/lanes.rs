// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several requests on one connection: what a worker's side sends and takes, at every cut and with every rule broken.

mod taken;

use crate::protocol::fastcgi::{
    Received, Requests, Stream, end,
    lanes::{
        ANSWER, ANSWER_BODIES, LaneError, LaneEvent, LaneId, LaneRead, Lanes, NAME, WINDOW, Window, cut,
        grant,
    },
    put, values_result,
};

/// The records of a request without a body, as the codec writes them: with the number 1.
fn request(path: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0];
    let pair = [&[1, path.len() as u8, b'P'], path].concat();
    bytes.extend_from_slice(&[1, 4, 0, 1, 0, pair.len() as u8, 0, 0]);
    bytes.extend_from_slice(&pair);
    bytes.extend_from_slice(&[1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0]);
    bytes
}

fn answer() -> Vec<u8> {
    let mut bytes = Vec::new();
    let question = [&[NAME.len() as u8, 0], NAME].concat();
    values_result(&question, &[(NAME, ANSWER)], &mut bytes).unwrap();
    bytes
}

fn drain(lanes: &mut Lanes) -> Vec<u8> {
    lanes.settle();
    let bytes = lanes.output().to_vec();
    lanes.sent(bytes.len());
    bytes
}

fn opened() -> Lanes {
    let mut lanes = Lanes::new();
    drain(&mut lanes);
    lanes.receive(&answer()).unwrap();
    assert!(lanes.is_open());
    lanes
}

fn events(lanes: &mut Lanes) -> Vec<LaneEvent> {
    std::iter::from_fn(|| lanes.next_event()).collect()
}

fn read(lanes: &mut Lanes, lane: LaneId) -> (Vec<u8>, LaneRead) {
    let (mut found, mut room) = (Vec::new(), [0; 1000]);
    loop {
        match lanes.read(lane, &mut room) {
            LaneRead::Bytes(count) => found.extend_from_slice(&room[..count]),
            last => return (found, last),
        }
    }
}

fn response(id: u16, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(id, Stream::Output, text, &mut bytes);
    bytes.extend_from_slice(&end(id, 0, None));
    bytes
}

/// A lane that has the number.
fn lane_of(lanes: &mut Lanes, number: u16) -> LaneId {
    (0..number).map(|_| lanes.take().unwrap()).last().unwrap()
}

#[test]
fn the_question_comes_first_and_its_answer_opens_the_connection_at_every_cut() {
    let mut lanes = Lanes::new();
    let mut host = Requests::new(1);
    let asked = drain(&mut lanes);
    let question = [&[NAME.len() as u8, 0], NAME].concat();
    assert_eq!(host.decode(&asked), Ok((asked.len(), Received::Question(question))));
    assert!(lanes.take().is_none() && !lanes.is_open());
    for at in 1..answer().len() {
        let mut lanes = Lanes::new();
        let wire = answer();
        lanes.receive(&wire[..at]).unwrap();
        assert!(!lanes.is_open(), "after byte {at}");
        lanes.receive(&wire[at..]).unwrap();
        assert!(lanes.is_open(), "after byte {at}");
    }
}

#[test]
fn who_does_not_know_lanes_or_knows_others_gets_none() {
    let mut unknown = Vec::new();
    values_result(b"", &[], &mut unknown).unwrap();
    let mut other = Vec::new();
    let question = [&[NAME.len() as u8, 0], NAME].concat();
    values_result(&question, &[(NAME, b"3")], &mut other).unwrap();
    for wire in [unknown, other, response(1, b"x"), vec![1, 11, 0, 0, 0, 8, 0, 0]] {
        let mut lanes = Lanes::new();
        assert_eq!(lanes.receive(&wire), Err(LaneError::Unknown), "{wire:?}");
        assert!(lanes.is_over() && lanes.take().is_none());
    }
    assert_eq!(Lanes::new().receive(&[2, 10, 0, 0, 0, 8, 0, 0]), Err(LaneError::Version(2)));
}

#[test]
fn requests_leave_together_with_numbers_of_their_own_at_every_cut() {
    let (first, second) = (request(b"/a"), request(b"/b"));
    for at in 0..=first.len() {
        let mut lanes = opened();
        let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
        lanes.send(a, &first[..at]);
        lanes.send(a, &first[at..]);
        lanes.send(b, &second);
        let wire = drain(&mut lanes);
        let (mut host, mut rest, mut heard) = (Requests::new(0), &wire[..], Vec::new());
        host.open_lanes(8);
        while !rest.is_empty() {
            let (used, received) = host.decode(rest).unwrap();
            heard.push(match received {
                Received::Begin { id, .. } => (id, "begins".into()),
                Received::Params(id, bytes) => (id, String::from_utf8_lossy(&bytes[3..]).into_owned()),
                Received::ParamsEnd(id) => (id, "is whole".into()),
                Received::BodyEnd(id) => (id, "has no body".into()),
                other => panic!("{other:?}"),
            });
            rest = &rest[used..];
        }
        let expected = |id, path: &str| {
            ["begins", path, "is whole", "has no body"].map(|what| (id, what.to_owned())).to_vec()
        };
        assert_eq!(heard, [expected(1, "/a"), expected(2, "/b")].concat(), "cut after byte {at}");
    }
}

#[test]
fn responses_between_each_other_are_told_apart_at_every_cut() {
    let mut padded = vec![1, 6, 0, 1, 0, 3, 5, 0];
    padded.extend_from_slice(b"abc.....");
    let mut lines = Vec::new();
    put(2, Stream::Errors, b"a line\n", &mut lines);
    let wire = [padded, lines, response(2, b"second"), response(1, b"def")].concat();
    for at in 0..=wire.len() {
        let mut lanes = opened();
        let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
        lanes.receive(&wire[..at]).unwrap();
        lanes.receive(&wire[at..]).unwrap();
        let mut expected = vec![1, 6, 0, 1, 0, 3, 0, 0, b'a', b'b', b'c'];
        expected.extend_from_slice(&response(1, b"def"));
        assert_eq!(read(&mut lanes, a), (expected, LaneRead::End), "cut after byte {at}");
        let mut expected = Vec::new();
        put(1, Stream::Errors, b"a line\n", &mut expected);
        expected.extend_from_slice(&response(1, b"second"));
        assert_eq!(read(&mut lanes, b), (expected, LaneRead::End), "cut after byte {at}");
        let told = events(&mut lanes);
        assert!(told.contains(&LaneEvent::Readable(a)) && told.contains(&LaneEvent::Readable(b)));
        assert!(lanes.leave(a) && lanes.leave(b) && lanes.is_idle());
    }
}

#[test]
fn what_is_readable_is_told_once_until_somebody_asks() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    assert!(!lanes.is_readable(lane));
    let mut part = Vec::new();
    put(1, Stream::Output, b"x", &mut part);
    lanes.receive(&part).unwrap();
    lanes.receive(&part).unwrap();
    assert_eq!(events(&mut lanes), [LaneEvent::Readable(lane)]);
    assert!(lanes.is_readable(lane));
    lanes.receive(&end(1, 0, None)).unwrap();
    assert_eq!(events(&mut lanes), [LaneEvent::Readable(lane)]);
}

#[test]
fn a_lane_that_is_left_is_free_when_the_host_has_ended_it() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    lanes.send(lane, &request(b"/"));
    drain(&mut lanes);
    assert!(!lanes.leave(lane));
    assert_eq!(drain(&mut lanes), [1, 2, 0, 1, 0, 0, 0, 0]);
    let other = lanes.take().unwrap();
    assert_ne!(other, lane);
    // What the host still had goes nowhere, however much it is.
    let mut much = Vec::new();
    put(1, Stream::Output, &vec![0; 3 * WINDOW], &mut much);
    lanes.receive(&much).unwrap();
    assert_eq!(events(&mut lanes), []);
    lanes.receive(&end(1, 0, None)).unwrap();
    assert_eq!(events(&mut lanes), [LaneEvent::Free(lane)]);
    assert_eq!(lanes.take(), Some(lane));
    // It knows nothing of before.
    assert_eq!(read(&mut lanes, lane), (Vec::new(), LaneRead::Nothing));
}

#[test]
fn a_host_whose_client_has_enough_goes_on_until_it_is_told() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    lanes.send(lane, &request(b"/"));
    drain(&mut lanes);
    let (mut window, mut wire) = (Window::default(), Vec::new());
    put(1, Stream::Output, &[7; 1000], &mut wire);
    window.spend(1000);
    lanes.receive(&wire).unwrap();
    events(&mut lanes);
    assert!(!lanes.leave_running(lane));
    // Nobody reads it, and there is room again and again.
    for _ in 0..9 {
        let room = window.room();
        let mut wire = Vec::new();
        put(1, Stream::Output, &vec![7; room], &mut wire);
        window.spend(room);
        lanes.receive(&wire).unwrap();
        let told = drain(&mut lanes);
        let [1, 200, 0, 1, 0, 8, 0, 0, a, b, c, d, ..] = *told else { panic!("no grant: {told:?}") };
        window.add(u32::from_be_bytes([a, b, c, d]));
    }
    assert_eq!(events(&mut lanes), []);
    lanes.abort(lane);
    lanes.abort(lane);
    assert_eq!(drain(&mut lanes), [1, 2, 0, 1, 0, 0, 0, 0]);
    lanes.receive(&end(1, 0, None)).unwrap();
    assert_eq!(events(&mut lanes), [LaneEvent::Free(lane)]);
    lanes.abort(lane);
    assert_eq!(drain(&mut lanes), []);
}

#[test]
fn a_lane_that_was_not_used_is_free_at_once() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    lanes.send(lane, &request(b"/")[..7]);
    assert!(lanes.leave(lane) && lanes.is_idle());
    assert_eq!(drain(&mut lanes), []);
}

#[test]
fn records_of_other_lanes_stand_between_whole_ones_only() {
    let mut lanes = opened();
    let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
    let wire = request(b"/a");
    lanes.send(a, &wire[..20]);
    lanes.send(b, &request(b"/b"));
    lanes.send(a, &wire[20..]);
    let sent = drain(&mut lanes);
    let (mut host, mut rest, mut ends) = (Requests::new(0), &sent[..], Vec::new());
    host.open_lanes(8);
    while !rest.is_empty() {
        let (used, received) = host.decode(rest).unwrap();
        if let Received::BodyEnd(id) = received {
            ends.push(id);
        }
        rest = &rest[used..];
    }
    assert_eq!(ends, [2, 1]);
}

#[test]
fn who_has_told_that_nobody_waits_does_not_say_it_again() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    lanes.send(lane, &request(b"/"));
    lanes.send(lane, &[1, 2, 0, 1, 0, 0, 0, 0]);
    drain(&mut lanes);
    assert!(!lanes.leave(lane));
    assert_eq!(drain(&mut lanes), []);
}

#[test]
fn a_response_that_breaks_off_ends_its_own_lane() {
    let mut lanes = opened();
    let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
    let mut wire = Vec::new();
    put(1, Stream::Output, b"half", &mut wire);
    wire.extend_from_slice(&cut(1));
    lanes.receive(&wire).unwrap();
    let (found, last) = read(&mut lanes, a);
    assert_eq!((found.len(), last), (12, LaneRead::End));
    assert_eq!(read(&mut lanes, b).1, LaneRead::Nothing);
    assert!(lanes.leave(a));
}

#[test]
fn the_end_of_the_connection_is_the_end_of_every_lane() {
    let mut lanes = opened();
    let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
    let mut part = Vec::new();
    put(1, Stream::Output, b"half", &mut part);
    lanes.receive(&part).unwrap();
    events(&mut lanes);
    lanes.send(b, &request(b"/"));
    assert!(!lanes.leave(b));
    lanes.close();
    assert_eq!(events(&mut lanes), [LaneEvent::Readable(a), LaneEvent::Free(b)]);
    assert_eq!(read(&mut lanes, a), (part, LaneRead::End));
    assert!(lanes.leave(a) && lanes.take().is_none() && lanes.output().is_empty());
    assert_eq!(lanes.receive(b"whatever"), Ok(()));
}

#[test]
fn a_host_may_send_a_window_and_what_was_granted() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    let (mut window, mut sent, mut got) = (Window::default(), 0, 0);
    let mut host = Requests::new(0);
    host.open_lanes(8);
    lanes.send(lane, &request(b"/"));
    // Nine windows, by a host that sends all that it may.
    while sent < 9 * WINDOW {
        let room = window.room();
        let mut wire = Vec::new();
        put(1, Stream::Output, &vec![7; room], &mut wire);
        assert!(window.fits(room));
        window.spend(room);
        assert!(window.room() < 9, "all of it was used");
        sent += room;
        lanes.receive(&wire).unwrap();
        let (found, last) = read(&mut lanes, lane);
        assert_eq!(last, LaneRead::Nothing);
        got += found.len();
        let told = drain(&mut lanes);
        let mut rest = &told[..];
        while !rest.is_empty() {
            let (used, received) = host.decode(rest).unwrap();
            if let Received::Granted(id, bytes) = received {
                assert_eq!(id, 1);
                window.add(bytes);
            }
            rest = &rest[used..];
        }
        assert!(window.room() > 0, "after {sent} bytes, of which {got} were read");
    }
}

#[test]
fn a_host_that_sends_more_is_cut_off() {
    let mut lanes = opened();
    lanes.take().unwrap();
    let mut wire = Vec::new();
    put(1, Stream::Output, &vec![7; WINDOW + 100], &mut wire);
    assert_eq!(lanes.receive(&wire), Err(LaneError::Window(1)));
    assert!(lanes.is_over());
    // Records without content cost memory as well.
    let mut lanes = opened();
    lanes.take().unwrap();
    let empty = [1, 7, 0, 1, 0, 0, 0, 0].repeat(WINDOW / 8 + 3);
    assert_eq!(lanes.receive(&empty), Err(LaneError::Window(1)));
}

#[test]
fn every_rule_that_is_broken_has_a_name() {
    let cases: [(&[u8], LaneError); 9] = [
        (&[2, 6, 0, 1, 0, 1, 0, 0], LaneError::Version(2)),
        (&[1, 1, 0, 1, 0, 8, 0, 0], LaneError::Type(1)),
        (&[1, 10, 0, 0, 0, 8, 0, 0], LaneError::Type(10)),
        (&[1, 200, 0, 1, 0, 8, 0, 0], LaneError::Type(200)),
        (&[1, 3, 0, 1, 0, 7, 0, 0], LaneError::Type(3)),
        (&[1, 201, 0, 1, 0, 1, 0, 0], LaneError::Type(201)),
        (&[1, 6, 0, 0, 0, 1, 0, 0], LaneError::NoRequest(0)),
        (&[1, 6, 0, 9, 0, 1, 0, 0], LaneError::NoRequest(9)),
        (&[1, 6, 0xff, 0xff, 0, 1, 0, 0], LaneError::NoRequest(0xffff)),
    ];
    for (wire, error) in cases {
        let mut lanes = opened();
        lanes.take().unwrap();
        assert_eq!(lanes.receive(wire), Err(error));
    }
    let mut lanes = opened();
    lanes.take().unwrap();
    let twice = [end(1, 0, None), end(1, 0, None)].concat();
    assert_eq!(lanes.receive(&twice), Err(LaneError::NoRequest(1)));
}

#[test]
fn it_is_known_which_requests_have_not_left() {
    let mut lanes = opened();
    let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
    assert!(lanes.is_unsent(a) && lanes.is_unsent(b));
    lanes.send(a, &request(b"/a"));
    lanes.send_parts(b, [&request(b"/b")[..20], &request(b"/b")[20..]]);
    assert!(lanes.is_unsent(a) && lanes.is_unsent(b));
    lanes.sent(1);
    assert!(!lanes.is_unsent(a) && lanes.is_unsent(b));
    lanes.sent(request(b"/a").len() - 1);
    assert!(lanes.is_unsent(b));
    lanes.close();
    assert!(!lanes.is_unsent(a) && lanes.is_unsent(b));
}

#[test]
fn a_host_that_takes_bodies_says_so() {
    let mut lanes = Lanes::new();
    let mut wire = Vec::new();
    let question = [&[NAME.len() as u8, 0], NAME].concat();
    values_result(&question, &[(NAME, ANSWER_BODIES)], &mut wire).unwrap();
    lanes.receive(&wire).unwrap();
    assert!(lanes.is_open() && lanes.takes_bodies());
    assert!(!opened().takes_bodies());
}

#[test]
fn a_window_counts_headers() {
    let window = Window::default();
    assert!(window.fits(window.room()) && !window.fits(window.room() + 1));
    assert!(!window.fits(usize::MAX));
    let mut spent = window;
    spent.spend(usize::MAX);
    assert_eq!(spent.room(), 0);
    spent.add(u32::MAX);
    assert_eq!(spent.room(), window.room(), "never more than a window");
    assert_eq!(grant(0x0102, 0x0304_0506), [1, 200, 1, 2, 0, 8, 0, 0, 3, 4, 5, 6, 0, 0, 0, 0]);
}

#[test]
fn numbers_are_used_again() {
    let mut lanes = opened();
    let lane = lane_of(&mut lanes, 3);
    lanes.receive(&end(3, 0, None)).unwrap();
    assert!(lanes.leave(lane));
    assert_eq!(lanes.take(), Some(lane));
}
