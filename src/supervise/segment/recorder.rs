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
    layout::{self, CARD, EVENT, EVENTS},
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

    fn number(self) -> u8 {
        KINDS.iter().position(|kind| *kind == self).unwrap_or(0) as u8
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

/// Under which id a request is noted.
#[derive(Clone, Copy, Debug)]
pub enum RequestId<'a> {
    /// The server's, of which the beginning is kept.
    Text(&'a [u8]),
    /// One of our own: two numbers, which are shown as 32 hexadecimal digits.
    Own(u64, u64),
}

/// What the head of a note says.
#[derive(Clone, Copy)]
struct NoteHead {
    kind: EntryKind,
    pid: u32,
    since: u64,
    took: u32,
    status: u16,
}

impl NoteHead {
    fn of_process(kind: EntryKind, pid: u32, since: u64) -> Self {
        Self { kind, pid, since, took: 0, status: 0 }
    }

    fn words(self) -> (u64, u64) {
        ((self.since & TIME) | u64::from(self.pid) << 40, u64::from(self.took) | u64::from(self.status) << 32)
    }
}

/// The first word of a note but for its number: what it is, and what stands behind its head.
#[derive(Clone, Copy)]
struct NoteShape {
    kind: u8,
    /// The id is hexadecimal, and stands there half as long.
    is_packed: bool,
    id: u8,
    line: u8,
}

impl NoteShape {
    fn of(word: u64) -> Self {
        let [kind, is_packed, id, line, ..] = word.to_le_bytes();
        Self { kind, is_packed: is_packed == 1, id, line }
    }

    fn word(self, number: u32) -> u64 {
        let [a, b, c, d] = number.to_le_bytes();
        u64::from_le_bytes([self.kind, self.is_packed.into(), self.id, self.line, a, b, c, d])
    }

    fn kind(self) -> Option<EntryKind> {
        KINDS.get(usize::from(self.kind)).copied()
    }

    fn with(self, kind: EntryKind) -> Self {
        Self { kind: kind.number(), ..self }
    }

    /// As it is where there are so many bytes for it, and how many words have them.
    fn cut(self, room: usize) -> (Self, usize) {
        let id = usize::from(self.id).min(room);
        let line = usize::from(self.line).min(room - id);
        (Self { id: id as u8, line: line as u8, ..self }, (id + line).div_ceil(8))
    }
}

/// An id that is half as long in bytes, if all of it is hexadecimal.
fn pack<'a>(id: &[u8], packed: &'a mut [u8; LONGEST_ID / 2]) -> Option<&'a [u8]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let room = packed.get_mut(..id.len().div_ceil(2))?;
    for (place, pair) in room.iter_mut().zip(id.chunks(2)) {
        *place = digit(pair.first()?)? << 4 | digit(pair.get(1)?)?;
    }
    Some(room)
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Writes a note around what `fill` writes behind its head.
fn put(words: &[AtomicU64], number: u32, head: NoteHead, shape: NoteShape, fill: impl FnOnce(&[AtomicU64])) {
    let Some((first, payload)) = words.split_first_chunk::<HEAD>() else { return };
    let (when, end) = head.words();
    first[0].store(0, Relaxed);
    fence(Release);
    first[1].store(when, Relaxed);
    first[2].store(end, Relaxed);
    fill(payload);
    first[0].store(shape.word(number), Release);
}

/// Writes a note with an id and a line in three parts.
fn write(words: &[AtomicU64], number: u32, head: NoteHead, id: RequestId<'_>, line: [&[u8]; 3]) {
    let room = words.len().saturating_sub(HEAD).min(CARD - HEAD) * 8;
    let (mut packed, mut bytes) = ([0; LONGEST_ID / 2], [0; (CARD - HEAD) * 8]);
    let (is_packed, id) = match id {
        RequestId::Own(first, second) => {
            let (high, low) = packed.split_at_mut(8);
            high.copy_from_slice(&first.to_be_bytes());
            low.copy_from_slice(&second.to_be_bytes());
            (true, packed.as_slice())
        }
        RequestId::Text(id) => {
            let id = id.get(..LONGEST_ID).unwrap_or(id);
            pack(id, &mut packed).map_or((false, id), |packed| (true, packed))
        }
    };
    let mut used = 0;
    for part in [id, line[0], line[1], line[2]] {
        let part = part.get(..room - used).unwrap_or(part);
        if let Some(place) = bytes.get_mut(used..used + part.len()) {
            place.copy_from_slice(part);
        }
        used += part.len();
    }
    let (id, kind) = (id.len().min(room), head.kind.number());
    let shape = NoteShape { kind, is_packed, id: id as u8, line: (used - id) as u8 };
    put(words, number, head, shape, |payload| {
        for (word, bytes) in payload.iter().zip(bytes.chunks_exact(8)).take(used.div_ceil(8)) {
            word.store(
                u64::from_le_bytes(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0))),
                Relaxed,
            );
        }
    });
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
    let shape = NoteShape::of(first);
    let (id, rest) = bytes.split_at_checked(shape.id.into())?;
    let note = RecorderEntry {
        kind: shape.kind()?,
        pid: (when >> 40) as u32,
        since: when & TIME,
        took: end as u32,
        status: (end >> 32) as u16,
        id: if shape.is_packed { unpacked(id) } else { id.to_vec() },
        line: rest.get(..shape.line.into())?.to_vec(),
    };
    Some(((first >> 32) as u32, note))
}

impl Segment {
    /// Notes which request has a place: its id, and its method and path.
    pub fn note_request(&self, place: &Place, now: u64, id: RequestId<'_>, line: [&[u8]; 2]) {
        let head = NoteHead::of_process(EntryKind::Running, self.pid(place.slot), now);
        write(self.words(self.layout.card(place.index)), 1, head, id, [line[0], b" ", line[1]]);
    }

    /// Notes what has become of it, before the place is given back.
    pub fn note_end(&self, place: &Place, now: u64, kind: EntryKind, status: u16) {
        let card = self.words(self.layout.card(place.index));
        let Some(([first, when, _], known)) = card.split_first_chunk::<HEAD>() else { return };
        // It is the caller's own: nobody else writes there meanwhile.
        let (shape, when) = (NoteShape::of(first.load(Relaxed)), when.load(Relaxed));
        if shape.word(1) != first.load(Relaxed) || shape.kind() != Some(EntryKind::Running) {
            return;
        }
        let since = when & TIME;
        let took = u32::try_from(now.saturating_sub(since)).unwrap_or(u32::MAX);
        let head = NoteHead { kind, pid: (when >> 40) as u32, since, took, status };
        self.note(place.slot, |words, number| {
            let (shape, length) = shape.with(kind).cut(words.len().saturating_sub(HEAD) * 8);
            put(words, number, head, shape, |payload| {
                for (to, from) in payload.iter().zip(known).take(length) {
                    to.store(from.load(Relaxed), Relaxed);
                }
            });
        });
        if kind.is_loss() {
            // Whoever asks why finds all of it, until the place has another request.
            put(card, 1, head, shape.with(kind), |_| {});
        } else {
            self.forget_note(place.index);
        }
    }

    /// The request never reached the process of the place, unless it is known what became of it.
    pub fn forget_request(&self, place: &Place) {
        let first = self.words(self.layout.card(place.index)).first().map_or(0, |first| first.load(Relaxed));
        if first != 0 && NoteShape::of(first).kind() == Some(EntryKind::Running) {
            self.forget_note(place.index);
        }
    }

    /// Notes what becomes of the process of a slot.
    pub(in super::super) fn note_process(&self, slot: u16, kind: EntryKind, now: u64) {
        let head = NoteHead::of_process(kind, self.pid(slot), now);
        self.note(slot, |words, number| write(words, number, head, RequestId::Text(b""), [b""; 3]));
    }

    /// Has the next event of a slot written, with its number.
    fn note(&self, slot: u16, write: impl FnOnce(&[AtomicU64], u32)) {
        let ring = self.words(self.layout.ring(slot));
        let Some((count, events)) = ring.split_first() else { return };
        // Numbers begin at 1: 0 is no note.
        let number = count.fetch_add(1, Relaxed) as u32;
        let at = number as usize % EVENTS * EVENT;
        write(events.get(at..at + EVENT).unwrap_or_default(), number.wrapping_add(1));
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
mod tests;
