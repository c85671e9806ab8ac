// SPDX-License-Identifier: MIT OR Apache-2.0
use std::path::Path;

use super::{
    super::{Claim, Owner, Shape, SlotState, Wake},
    *,
};

fn segment() -> Segment {
    let shape = Shape { slots: 3, threads: 2, room: 4 };
    let Ok(segment) = Segment::create(shape, Path::new("/tmp/x"), Wake::Threads) else {
        panic!("there is memory")
    };
    segment.set_state(1, SlotState::Ready, 1);
    segment.set_pid(1, 1234);
    segment
}

fn claim(segment: &Segment) -> Place {
    let Claim::Claimed(place) = segment.claim(Owner::of(7), 0) else { panic!("it is ready") };
    place
}

const DIGITS: &[u8] = b"0123456789abcdef0123456789abcdef";
const ID: RequestId<'static> = RequestId::Text(DIGITS);

#[test]
fn what_runs_is_known_until_it_has_ended_and_then_what_became_of_it() {
    let segment = segment();
    let (one, two) = (claim(&segment), claim(&segment));
    let path = [b'x'; 300];
    segment.note_request(&one, 50, ID, [b"GET", &path]);
    segment.note_request(&two, 60, RequestId::Text(b"an id@1"), [b"POST", b"/b"]);
    let running = segment.running(1);
    assert_eq!(running.len(), 2);
    let note = &running[0];
    assert_eq!((note.kind, note.pid, note.since, note.id.as_slice()), (EntryKind::Running, 1234, 50, DIGITS));
    assert_eq!((note.line.len(), note.line.starts_with(b"GET xx")), ((CARD - HEAD) * 8 - 16, true));
    assert_eq!((running[1].id.as_slice(), running[1].line.as_slice()), (&b"an id@1"[..], &b"POST /b"[..]));
    segment.note_end(&one, 80, EntryKind::Answered, 200);
    segment.note_end(&two, 90, EntryKind::Cut, 0);
    // Nothing is noted twice.
    segment.note_end(&two, 95, EntryKind::Answered, 200);
    let _ = (segment.release(Owner::of(7), one), segment.release(Owner::of(7), two));
    assert_eq!(segment.running(1), []);
    let lost = segment.requests(1);
    assert_eq!((lost.len(), lost[0].kind, lost[0].line.as_slice()), (1, EntryKind::Cut, &b"POST /b"[..]));
    let events = segment.events(1);
    let seen: Vec<_> = events.iter().map(|note| (note.kind, note.took, note.status)).collect();
    assert_eq!(seen, [(EntryKind::Answered, 30, 200), (EntryKind::Cut, 30, 0)]);
    assert_eq!((events[0].id.as_slice(), events[0].line.len()), (DIGITS, 24));
    assert!(segment.events(0).is_empty());
}

#[test]
fn an_id_of_our_own_is_shown_as_digits() {
    let segment = segment();
    let place = claim(&segment);
    segment.note_request(
        &place,
        1,
        RequestId::Own(0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdef),
        [b"GET", b"/"],
    );
    assert_eq!(segment.running(1)[0].id, DIGITS);
    segment.note_end(&place, 2, EntryKind::Answered, 204);
    let _ = segment.release(Owner::of(7), place);
    let [event] = segment.events(1).try_into().unwrap();
    assert_eq!(
        (event.id.as_slice(), event.line.as_slice(), event.pid, event.status),
        (DIGITS, &b"GET /"[..], 1234, 204)
    );
}

#[test]
fn a_request_that_was_lost_is_known_and_one_that_never_came_is_not() {
    let segment = segment();
    let place = claim(&segment);
    segment.note_request(&place, 100, ID, [b"GET", b"/"]);
    segment.note_end(&place, 110, EntryKind::Cut, 0);
    segment.forget_request(&place);
    assert_eq!(segment.requests(1).len(), 1);
    segment.note_request(&place, 120, ID, [b"GET", b"/"]);
    segment.forget_request(&place);
    assert_eq!(segment.requests(1), []);
    let _ = segment.release(Owner::of(7), place);
}

#[test]
fn the_last_events_are_kept_in_their_order() {
    let segment = segment();
    segment.note_process(1, EntryKind::Started, 1);
    for now in 0..100 {
        let place = claim(&segment);
        segment.note_request(&place, now, ID, [b"GET", b"/"]);
        segment.note_end(&place, now + 1, EntryKind::Answered, 200);
        let _ = segment.release(Owner::of(7), place);
    }
    let since: Vec<_> = segment.events(1).iter().map(|note| note.since).collect();
    assert_eq!(since, (100 - EVENTS as u64..100).collect::<Vec<_>>());
}

#[test]
fn what_a_dead_worker_had_is_forgotten() {
    let segment = segment();
    let place = claim(&segment);
    segment.note_request(&place, 1, ID, [b"GET", b"/"]);
    segment.free_worker(Owner::of(7), Owner::of(8));
    assert_eq!(segment.running(1), []);
}

proptest::proptest! {
    #[test]
    fn notes_say_what_they_were_made_of(id: Vec<u8>, line: Vec<u8>, kind in 0..KINDS.len(), since in 0..TIME, took: u32, status: u16) {
        let words: Vec<AtomicU64> = (0..CARD).map(|_| AtomicU64::new(u64::MAX)).collect();
        let head = NoteHead { kind: KINDS[kind], pid: 4_000_000, since, took, status };
        let (first, rest) = line.split_at(line.len() / 2);
        write(&words, 9, head, RequestId::Text(&id), [first, b"", rest]);
        let (number, found) = read(&words).unwrap();
        proptest::prop_assert_eq!(number, 9);
        proptest::prop_assert!(id.starts_with(&found.id) && line.starts_with(&found.line));
        proptest::prop_assert!(found.id.len() == id.len().min(LONGEST_ID));
        let kept = (CARD - HEAD) * 8 - found.id.len();
        proptest::prop_assert!(found.line.len() >= line.len().min(kept));
        let seen = (found.kind, found.pid, found.since, found.took, found.status);
        proptest::prop_assert_eq!(seen, (head.kind, head.pid, since, took, status));
    }

    #[test]
    fn an_event_has_of_a_request_what_it_has_room_for(id: Vec<u8>, path: Vec<u8>) {
        let segment = segment();
        let place = claim(&segment);
        segment.note_request(&place, 5, RequestId::Text(&id), [b"GET", &path]);
        let running = segment.running(1);
        segment.note_end(&place, 9, EntryKind::Left, 499);
        let _ = segment.release(Owner::of(7), place);
        let [event] = segment.events(1).try_into().unwrap();
        proptest::prop_assert_eq!(&event.id, &running[0].id);
        proptest::prop_assert!(running[0].line.starts_with(&event.line));
        let kept = (EVENT - HEAD) * 8 - event.id.len();
        proptest::prop_assert!(event.line.len() >= running[0].line.len().min(kept));
    }
}
