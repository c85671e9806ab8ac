// SPDX-License-Identifier: MIT OR Apache-2.0
//! The flight recorder: which request each place has now, and the last events of each process, 64 bytes each. Workers write
//! it and the supervisor reads it, when a process has ended that should not have. Nobody decides anything by it.
//!
//! ```text
//! word 0    number of the note | lengths | what it is; 0 while it is written
//! word 1    process id | when it began, in milliseconds of the monotonic clock
//! word 2    status | how long it took
//! the rest  the id of the request, then its method and path, as far as there is room
//! ```

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use super::{
    Place, Segment,
    layout::{self, EVENT, EVENTS},
};

const HEAD: usize = 3;
/// How much of an id is kept.
const LONGEST_ID: usize = 32;
const TIME: u64 = (1 << 40) - 1;

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A request that the process has.
    Running,
    /// Its response was whole.
    Answered,
    /// It broke off.
    Cut,
    /// It was not answered in time.
    TimedOut,
    /// Its client left.
    Left,
    /// The process began.
    Started,
    /// It takes requests.
    Ready,
    /// It gets no more.
    Draining,
    /// It was told to end.
    Told,
    /// It was killed.
    Killed,
}

const KINDS: [EntryKind; 10] = [
    EntryKind::Running,
    EntryKind::Answered,
    EntryKind::Cut,
    EntryKind::TimedOut,
    EntryKind::Left,
    EntryKind::Started,
    EntryKind::Ready,
    EntryKind::Draining,
    EntryKind::Told,
    EntryKind::Killed,
];

impl EntryKind {
    /// Whether a request has no answer because of its process.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(self, Self::Cut | Self::TimedOut)
    }
}

/// Something that a process had or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderEntry {
    /// What.
    pub kind: EntryKind,
    /// The process.
    pub pid: u32,
    /// When it began, in milliseconds of the monotonic clock.
    pub since: u64,
    /// How long it took, in milliseconds.
    pub took: u32,
    /// The status of the response, 0 without one.
    pub status: u16,
    /// The id of the request.
    pub id: Vec<u8>,
    /// Its method and the beginning of its path.
    pub line: Vec<u8>,
}

impl RecorderEntry {
    fn of_process(kind: EntryKind, pid: u32, since: u64) -> Self {
        Self { kind, pid, since, took: 0, status: 0, id: Vec::new(), line: Vec::new() }
    }
}

/// An id that is half as long in bytes.
fn packed(id: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?);
    id.chunks(2).map(pair).collect()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn write(words: &[AtomicU64], number: u32, note: &RecorderEntry) {
    let Some((head, payload)) = words.split_first_chunk::<HEAD>() else { return };
    let id = note.id.get(..LONGEST_ID).unwrap_or(&note.id);
    let packed = packed(id);
    let (is_packed, id) = packed.as_deref().map_or((0, id), |packed| (1, packed));
    let room = payload.len() * 8 - id.len();
    let line = note.line.get(..room).unwrap_or(&note.line);
    let kind = KINDS.iter().position(|kind| *kind == note.kind).unwrap_or(0) as u64;
    head[0].store(0, Relaxed);
    fence(Release);
    head[1].store((note.since & TIME) | u64::from(note.pid) << 40, Relaxed);
    head[2].store(u64::from(note.took) | u64::from(note.status) << 32, Relaxed);
    let mut bytes = id.iter().chain(line).copied();
    for word in payload.iter().take((id.len() + line.len()).div_ceil(8)) {
        word.store(u64::from_le_bytes(std::array::from_fn(|_| bytes.next().unwrap_or(0))), Relaxed);
    }
    let lengths = kind | is_packed << 8 | (id.len() as u64) << 16 | (line.len() as u64) << 24;
    head[0].store(lengths | u64::from(number) << 32, Release);
}

/// A note with its number, if it is whole and was not changed meanwhile.
fn read(words: &[AtomicU64]) -> Option<(u32, RecorderEntry)> {
    let (head, payload) = words.split_first_chunk::<HEAD>()?;
    let first = head[0].load(Acquire);
    if first == 0 {
        return None;
    }
    let (when, end) = (head[1].load(Relaxed), head[2].load(Relaxed));
    let bytes: Vec<u8> = payload.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
    fence(Acquire);
    if head[0].load(Relaxed) != first {
        return None;
    }
    let small = |shift: u32| (first >> shift & 0xff) as usize;
    let (id, rest) = bytes.split_at_checked(small(16))?;
    let note = RecorderEntry {
        kind: *KINDS.get(small(0))?,
        pid: (when >> 40) as u32,
        since: when & TIME,
        took: end as u32,
        status: (end >> 32) as u16,
        id: if small(8) == 1 { unpacked(id) } else { id.to_vec() },
        line: rest.get(..small(24))?.to_vec(),
    };
    Some(((first >> 32) as u32, note))
}

impl Segment {
    /// Notes which request has a place: its id, and its method and path.
    pub fn note_request(&self, place: &Place, now: u64, id: &[u8], line: [&[u8]; 2]) {
        let pid = self.pid(place.slot);
        let line = [line[0], b" ", line[1]].concat();
        let note = RecorderEntry {
            id: id.to_vec(),
            line,
            ..RecorderEntry::of_process(EntryKind::Running, pid, now)
        };
        write(self.words(self.layout.card(place.index)), 1, &note);
    }

    /// Notes what has become of it, before the place is given back.
    pub fn note_end(&self, place: &Place, now: u64, kind: EntryKind, status: u16) {
        let card = self.words(self.layout.card(place.index));
        let Some((_, note)) = read(card).filter(|(_, note)| note.kind == EntryKind::Running) else { return };
        let took = u32::try_from(now.saturating_sub(note.since)).unwrap_or(u32::MAX);
        let note = RecorderEntry { kind, took, status, ..note };
        if kind.is_loss() {
            // Whoever asks why finds all of it, until the place has another request.
            write(card, 1, &note);
        } else {
            self.forget_note(place.index);
        }
        self.note(place.slot, &note);
    }

    /// The request never reached the process of the place, unless it is known what became of it.
    pub fn forget_request(&self, place: &Place) {
        let card = self.words(self.layout.card(place.index));
        if read(card).is_some_and(|(_, note)| note.kind == EntryKind::Running) {
            self.forget_note(place.index);
        }
    }

    /// Notes what becomes of the process of a slot.
    pub(in super::super) fn note_process(&self, slot: u16, kind: EntryKind, now: u64) {
        self.note(slot, &RecorderEntry::of_process(kind, self.pid(slot), now));
    }

    fn note(&self, slot: u16, note: &RecorderEntry) {
        let ring = self.words(self.layout.ring(slot));
        let Some((count, events)) = ring.split_first() else { return };
        // Numbers begin at 1: 0 is no note.
        let number = count.fetch_add(1, Relaxed) as u32;
        let at = number as usize % EVENTS * EVENT;
        write(events.get(at..at + EVENT).unwrap_or_default(), number.wrapping_add(1), note);
    }

    /// What a worker that has ended had in a place is nobody's.
    pub(super) fn forget_note(&self, place: usize) {
        if let Some(head) = self.words(self.layout.card(place)).first() {
            head.store(0, Relaxed);
        }
    }

    /// The requests that the process of a slot has, and those that it has lost.
    pub(in super::super) fn requests(&self, slot: u16) -> Vec<RecorderEntry> {
        let cards = self.layout.places(slot).map(|place| self.words(self.layout.card(place)));
        cards.filter_map(|card| read(card).map(|(_, note)| note)).collect()
    }

    /// The requests that the process of a slot has.
    #[must_use]
    pub fn running(&self, slot: u16) -> Vec<RecorderEntry> {
        self.requests(slot).into_iter().filter(|note| note.kind == EntryKind::Running).collect()
    }

    /// The last events of a slot, the oldest first: those of its processes of before among them.
    pub(in super::super) fn events(&self, slot: u16) -> Vec<RecorderEntry> {
        let ring = self.words(self.layout.ring(slot));
        let Some((count, events)) = ring.split_first() else { return Vec::new() };
        let next = count.load(Relaxed) as u32;
        let mut found: Vec<_> = events.chunks(EVENT).filter_map(read).collect();
        found.sort_by_key(|(number, _)| std::cmp::Reverse(next.wrapping_sub(*number)));
        found.into_iter().map(|(_, note)| note).collect()
    }

    fn pid(&self, slot: u16) -> u32 {
        self.word(self.layout.slot(slot) + layout::PID).load(Relaxed) as u32
    }

    fn words(&self, range: std::ops::Range<usize>) -> &[AtomicU64] {
        self.memory.words().get(range).unwrap_or_default()
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::path::Path;

    use super::{
        super::{Claim, Owner, Shape, SlotState, Wake, layout::CARD},
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

    const ID: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn what_runs_is_known_until_it_has_ended_and_then_what_became_of_it() {
        let segment = segment();
        let (one, two) = (claim(&segment), claim(&segment));
        let path = [b'x'; 300];
        segment.note_request(&one, 50, ID, [b"GET", &path]);
        segment.note_request(&two, 60, b"an id@1", [b"POST", b"/b"]);
        let running = segment.running(1);
        assert_eq!(running.len(), 2);
        let note = &running[0];
        assert_eq!((note.kind, note.pid, note.since, note.id.as_slice()), (EntryKind::Running, 1234, 50, ID));
        assert_eq!((note.line.len(), note.line.starts_with(b"GET xx")), ((CARD - HEAD) * 8 - 16, true));
        assert_eq!(
            (running[1].id.as_slice(), running[1].line.as_slice()),
            (&b"an id@1"[..], &b"POST /b"[..])
        );
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
        assert_eq!((events[0].id.as_slice(), events[0].line.len()), (ID, 24));
        assert!(segment.events(0).is_empty());
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
            let note = RecorderEntry { kind: KINDS[kind], pid: 4_000_000, since, took, status, id, line };
            write(&words, 9, &note);
            let (number, found) = read(&words).unwrap();
            proptest::prop_assert_eq!(number, 9);
            proptest::prop_assert!(note.id.starts_with(&found.id) && note.line.starts_with(&found.line));
            proptest::prop_assert!(found.id.len() == note.id.len().min(LONGEST_ID));
            proptest::prop_assert_eq!(RecorderEntry { id: Vec::new(), line: Vec::new(), ..found }, RecorderEntry { id: Vec::new(), line: Vec::new(), ..note });
        }
    }
}
