// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where each word of a segment stands.
//!
//! ```text
//! header | a bit for each cell that is in use | slots, each with the places of its process behind it
//! | cells of the queue | a note for each place | for each slot the number of its events, and the last ones
//! ```
//! What is looked at of an application that nobody asks stands in front: mostly in one page.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use super::Shape;

/// "gangway" and the version of all this.
const MAGIC: u64 = 0x6761_6e67_7761_7903;

const SIZES: usize = 1;
/// The number of the next one that comes to wait.
pub(super) const SEQUENCE: usize = 2;
pub(super) const CONDITION: usize = 3;
/// Whether somebody has stopped the application.
pub(super) const STOPPED: usize = 4;
const PREFIX_LENGTH: usize = 8;
const PREFIX: usize = 9;
const PREFIX_WORDS: usize = 13;
const HEADER: usize = 24;

/// How long the prefix of the sockets' paths may be: a number of five digits and a zero fit behind it (sun_path has 108 bytes).
pub(super) const PREFIX_MAX: usize = 102;

/// Words of a slot.
pub(super) const STATE: usize = 0;
pub(super) const PID: usize = 1;
/// Beside the process id: it has said that the application cannot run in it.
pub(super) const UNWELL_BIT: u64 = 1 << 32;
pub(super) const SERVED: usize = 2;
/// Its share of memory in bytes, as it was when it was looked at last; 0 before.
pub(super) const MEMORY: usize = 3;
const PLACES: usize = 4;
/// Words of the note of a place, and of an event.
pub(super) const CARD: usize = 24;
pub(super) const EVENT: usize = 8;
/// Events of a slot that are kept.
pub(super) const EVENTS: usize = 32;
/// Words of a slot's events.
const RING: usize = 1 + EVENTS * EVENT;

#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentLayout {
    shape: Shape,
    bits: usize,
    cells: usize,
    slots: usize,
    slot_size: usize,
    cards: usize,
    rings: usize,
}

impl SegmentLayout {
    pub(super) fn of(shape: Shape) -> Self {
        let room = usize::from(shape.room.max(1));
        let (slots, slot_size) = (HEADER + room.div_ceil(64), PLACES + usize::from(shape.threads));
        let cells = slots + usize::from(shape.slots) * slot_size;
        let cards = cells + room;
        let rings = cards + usize::from(shape.slots) * usize::from(shape.threads) * CARD;
        Self { shape, bits: HEADER, cells, slots, slot_size, cards, rings }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// How many words there are.
    pub(super) fn size(&self) -> usize {
        self.rings + usize::from(self.shape.slots) * RING
    }

    /// The words that say which cells are in use.
    pub(super) fn bits(&self) -> Range<usize> {
        self.bits..self.slots
    }

    /// Which bit of which word says whether a cell is in use.
    pub(super) fn bit(&self, cell: u16) -> (usize, u64) {
        (self.bits + usize::from(cell) / 64, 1 << (cell % 64))
    }

    pub(super) fn cell(&self, cell: u16) -> usize {
        self.cells + usize::from(cell)
    }

    /// The numbers of all cells. Where nobody may wait there is one, for the first process.
    pub(super) fn cells(&self) -> Range<u16> {
        0..self.shape.room.max(1)
    }

    pub(super) fn slot(&self, slot: u16) -> usize {
        self.slots + usize::from(slot) * self.slot_size
    }

    /// The places of a slot.
    pub(super) fn places(&self, slot: u16) -> Range<usize> {
        let first = self.slot(slot) + PLACES;
        first..first + usize::from(self.shape.threads)
    }

    /// The note of a place.
    pub(super) fn card(&self, place: usize) -> Range<usize> {
        let (slot, at) = (
            place.saturating_sub(self.slots) / self.slot_size,
            place.saturating_sub(self.slots) % self.slot_size,
        );
        let number = slot * usize::from(self.shape.threads) + at.saturating_sub(PLACES);
        let first = self.cards + number * CARD;
        first..first + CARD
    }

    /// The events of a slot.
    pub(super) fn ring(&self, slot: u16) -> Range<usize> {
        let first = self.rings + usize::from(slot) * RING;
        first..first + RING
    }

    /// Which slot a place belongs to, if it is one.
    pub(super) fn slot_of(&self, place: usize) -> Option<u16> {
        let slot = u16::try_from(place.checked_sub(self.slots)? / self.slot_size).ok()?;
        (slot < self.shape.slots && self.places(slot).contains(&place)).then_some(slot)
    }
}

pub(super) fn write_header(words: &[AtomicU64], shape: Shape, prefix: &[u8]) {
    let sizes = u64::from(shape.slots) | u64::from(shape.threads) << 16 | u64::from(shape.room) << 32;
    words[SIZES].store(sizes, SeqCst);
    words[PREFIX_LENGTH].store(prefix.len() as u64, SeqCst);
    for (word, part) in words[PREFIX..PREFIX + PREFIX_WORDS].iter().zip(prefix.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        word.store(u64::from_le_bytes(bytes), SeqCst);
    }
    words[0].store(MAGIC, SeqCst);
}

pub(super) fn read_header(words: &[AtomicU64]) -> Option<(Shape, Vec<u8>)> {
    if words.len() < HEADER || words[0].load(SeqCst) != MAGIC {
        return None;
    }
    let sizes = words[SIZES].load(SeqCst);
    let shape = Shape { slots: sizes as u16, threads: (sizes >> 16) as u16, room: (sizes >> 32) as u16 };
    let length = usize::try_from(words[PREFIX_LENGTH].load(SeqCst)).ok()?;
    let bytes = words[PREFIX..PREFIX + PREFIX_WORDS].iter().flat_map(|word| word.load(SeqCst).to_le_bytes());
    let prefix: Vec<u8> = bytes.take(length).collect();
    (length <= PREFIX_MAX).then_some((shape, prefix))
}
