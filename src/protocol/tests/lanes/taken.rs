// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the reader of a lane takes from the connection by itself.

use super::*;

#[test]
fn a_reader_may_take_what_is_its_own_from_the_connection() {
    let mut lanes = opened();
    let (a, b) = (lanes.take().unwrap(), lanes.take().unwrap());
    lanes.send(a, &request(b"/a"));
    lanes.send(b, &request(b"/b"));
    drain(&mut lanes);
    let mut wire = Vec::new();
    put(1, Stream::Output, &[7; 1000], &mut wire);
    wire.extend_from_slice(&response(2, b"other"));
    lanes.receive(&wire[..20]).unwrap();
    let ahead = lanes.ahead().unwrap();
    assert_eq!((ahead.lane, ahead.count, lanes.available(a)), (a, 988, 988 + 20));
    // Not before it has read what came before, and not somebody else.
    assert_eq!((lanes.may_pass(a), lanes.may_pass(b)), (0, 0));
    assert_eq!(read(&mut lanes, a).0, [&[1, 6, 0, 1, 3, 232, 0, 0], &[7; 12][..]].concat());
    assert_eq!((lanes.may_pass(a), lanes.may_pass(b)), (988, 0));
    lanes.passed(a, 500);
    assert_eq!((lanes.may_pass(a), lanes.ahead().map(|ahead| ahead.record)), (488, Some(ahead.record)));
    // The rest comes the usual way.
    lanes.receive(&wire[520..]).unwrap();
    assert_eq!(read(&mut lanes, a), (vec![7; 488], LaneRead::Nothing));
    let mut expected = Vec::new();
    put(1, Stream::Output, b"other", &mut expected);
    expected.extend_from_slice(&end(1, 0, None));
    assert_eq!(read(&mut lanes, b), (expected, LaneRead::End));
    assert_eq!(lanes.ahead(), None);
}

#[test]
fn what_a_reader_has_taken_is_granted_again_unless_the_response_ends() {
    for ends in [false, true] {
        let mut lanes = opened();
        let lane = lanes.take().unwrap();
        lanes.send(lane, &request(b"/"));
        drain(&mut lanes);
        let mut wire = Vec::new();
        put(1, Stream::Output, &vec![7; 65_528], &mut wire);
        put(1, Stream::Output, &[7; 200], &mut wire);
        lanes.receive(&wire[..8]).unwrap();
        read(&mut lanes, lane);
        lanes.passed(lane, 65_528);
        lanes.receive(&wire[8 + 65_528..]).unwrap();
        if ends {
            lanes.receive(&end(1, 0, None)).unwrap();
        }
        assert_eq!(read(&mut lanes, lane).0.len(), if ends { 224 } else { 208 });
        let told = if ends { Vec::new() } else { grant(1, 65_528 + 8 + 208).to_vec() };
        assert_eq!(drain(&mut lanes), told);
    }
}

#[test]
fn nobody_takes_what_belongs_to_a_lane_that_was_left() {
    let mut lanes = opened();
    let lane = lanes.take().unwrap();
    lanes.send(lane, &request(b"/"));
    drain(&mut lanes);
    let mut wire = Vec::new();
    put(1, Stream::Output, &[7; 1000], &mut wire);
    lanes.receive(&wire[..100]).unwrap();
    assert!(lanes.ahead().is_some() && !lanes.leave(lane));
    assert!(lanes.ahead().is_none() && lanes.may_pass(lane) == 0);
    lanes.passed(lane, 900);
    lanes.receive(&wire[100..]).unwrap();
    lanes.receive(&end(1, 0, None)).unwrap();
    assert_eq!(events(&mut lanes).last(), Some(&LaneEvent::Free(lane)));
}
