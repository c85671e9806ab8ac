// SPDX-License-Identifier: MIT OR Apache-2.0
//! Those who wait for a place, first come first served over all workers.
//!
//! ```text
//! Free -> Waits -> Granted -> Free        who frees a place gives it to the one that came first
//!          |  \-> Refused -> Free         no process can be started
//!          \-> Free                       withdrawn, or its worker has died
//! ```
//! A place goes in two steps, each of which leaves everything whole if it is the last one of a worker: first the giver marks
//! it with its own id and the cell it is for, then it tells the cell. Who waits makes it its own. If the giver dies between
//! the two, the place is freed as any other of its; if it dies after both, the supervisor becomes the giver.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use super::{
    Place, Segment, Wake, layout,
    word::{CellWord, Owner, PlaceWord, is_before},
};
use crate::sys::shared;

/// One that waits. It ends with [`Segment::poll`] or [`Segment::withdraw`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that nobody looks after holds a place of the queue"]
pub struct Ticket {
    cell: u16,
    pub(super) sequence: u64,
}

/// What has become of one that waits.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum QueuePoll {
    /// It waits on.
    Waits,
    /// It has a place; the ticket is used up.
    Claimed(Place),
    /// No process can be started; the ticket is used up.
    Refused,
}

impl Segment {
    /// What has become of one that waits.
    pub fn poll(&self, ticket: &Ticket, worker: Owner, now: u64) -> QueuePoll {
        loop {
            let at = self.word(self.layout.cell(ticket.cell));
            let word = at.load(SeqCst);
            match CellWord::decode(word) {
                CellWord::Granted(owner, index) if owner == worker => {
                    if let Some(place) = self.accept(ticket, worker, index as usize, now) {
                        self.leave(ticket.cell, word);
                        return QueuePoll::Claimed(place);
                    }
                    // Who gave it has died since.
                    let again = CellWord::Waits(worker, ticket.sequence).encode();
                    if at.compare_exchange(word, again, SeqCst, SeqCst).is_ok() {
                        self.hand_over(worker);
                    }
                }
                CellWord::Waits(owner, _) if owner == worker => return QueuePoll::Waits,
                CellWord::Refused(owner) if owner == worker => {
                    self.leave(ticket.cell, word);
                    return QueuePoll::Refused;
                }
                // This worker was taken for dead.
                _ => return QueuePoll::Refused,
            }
        }
    }

    /// Makes a place that is being given to this one its own.
    fn accept(&self, ticket: &Ticket, worker: Owner, index: usize, now: u64) -> Option<Place> {
        let slot = self.layout.slot_of(index)?;
        let given = self.word(index).load(SeqCst);
        if !PlaceWord::decode(given).is_for(ticket.cell, ticket.sequence) {
            return None;
        }
        let word = PlaceWord::Claimed(worker, now).encode();
        self.word(index).compare_exchange(given, word, SeqCst, SeqCst).ok()?;
        self.count(slot);
        Some(Place { slot, index, word })
    }

    /// One that waits goes away. A place that it has been given meanwhile goes to the next one: answers whether that is in
    /// this worker.
    pub fn withdraw(&self, ticket: Ticket, worker: Owner) -> bool {
        let word = CellWord::Waits(worker, ticket.sequence).encode();
        if self.leave(ticket.cell, word) {
            return false;
        }
        match self.poll(&ticket, worker, 0) {
            QueuePoll::Claimed(place) => self.release(worker, place),
            // It has lost its place and waits again.
            QueuePoll::Waits => self.withdraw(ticket, worker),
            QueuePoll::Refused => false,
        }
    }

    /// Waits until something has become of one that waits, or the time is over. For threads: [`Wake::Threads`].
    pub fn wait(&self, ticket: &Ticket, timeout: Duration) {
        let word = self.word(self.layout.cell(ticket.cell));
        let seen = word.load(SeqCst);
        if matches!(CellWord::decode(seen), CellWord::Waits(..)) {
            shared::wait_for(word, seen, timeout);
        }
    }

    /// Gives free places to those who wait, in their order. Answers whether one of them is of this worker; the others have been
    /// woken.
    pub fn hand_over(&self, giver: Owner) -> bool {
        let (mut own, mut others) = (false, false);
        while let Some((cell, word, owner, sequence)) = self.first_waiting() {
            let holder = PlaceWord::Handing { giver, cell, sequence };
            let Some(place) = self.take_place(holder) else { break };
            let granted = CellWord::Granted(owner, place.index as u64).encode();
            let at = self.word(self.layout.cell(cell));
            if at.compare_exchange(word, granted, SeqCst, SeqCst).is_err() {
                // It is gone, or somebody else was faster.
                let _ = self.word(place.index).compare_exchange(place.word, PlaceWord::FREE, SeqCst, SeqCst);
                continue;
            }
            if owner == giver {
                own = true;
            } else {
                others = true;
            }
            if matches!(self.wake, Wake::Threads) {
                shared::wake(at);
            }
        }
        if others && let Wake::Event(wakeup) = &self.wake {
            wakeup.signal();
        }
        own
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.cells_in_use().filter(|(_, word)| matches!(CellWord::decode(*word), CellWord::Waits(..))).count()
    }

    /// Whether somebody waits, or has been given a place and does not know it yet.
    pub(super) fn has_waiting(&self) -> bool {
        self.layout.bits().any(|index| self.word(index).load(SeqCst) != 0)
    }

    /// Lets one more wait, if there is room.
    pub(super) fn enqueue(&self, worker: Owner) -> Option<Ticket> {
        let sequence = self.word(layout::SEQUENCE).fetch_add(1, SeqCst) & ((1 << 40) - 1);
        let word = CellWord::Waits(worker, sequence).encode();
        let cell = self.layout.cells().find(|cell| {
            let at = self.word(self.layout.cell(*cell));
            at.load(SeqCst) == CellWord::FREE
                && at.compare_exchange(CellWord::FREE, word, SeqCst, SeqCst).is_ok()
        })?;
        let (at, bit) = self.layout.bit(cell);
        self.word(at).fetch_or(bit, SeqCst);
        Some(Ticket { cell, sequence })
    }

    /// Frees a cell, unless it says something else meanwhile. The bit goes first: the next one that takes the cell sets it.
    fn leave(&self, cell: u16, word: u64) -> bool {
        let (at, bit) = self.layout.bit(cell);
        self.word(at).fetch_and(!bit, SeqCst);
        let freed =
            self.word(self.layout.cell(cell)).compare_exchange(word, CellWord::FREE, SeqCst, SeqCst).is_ok();
        if !freed {
            self.word(at).fetch_or(bit, SeqCst);
        }
        freed
    }

    fn cells_in_use(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let words = self.layout.bits().zip(0u16..);
        words.flat_map(move |(index, group)| {
            let mut bits = self.word(index).load(SeqCst);
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                let cell = group * 64 + bit as u16;
                Some((cell, self.word(self.layout.cell(cell)).load(SeqCst)))
            })
        })
    }

    /// Who came first of those that wait.
    fn first_waiting(&self) -> Option<(u16, u64, Owner, u64)> {
        let mut first: Option<(u16, u64, Owner, u64)> = None;
        for (cell, word) in self.cells_in_use() {
            if let CellWord::Waits(owner, sequence) = CellWord::decode(word)
                && first.is_none_or(|(.., earliest)| is_before(sequence, earliest))
            {
                first = Some((cell, word, owner, sequence));
            }
        }
        first
    }

    /// Tells all who wait that there will be no place.
    pub(super) fn refuse_waiting(&self) {
        for (cell, word) in self.cells_in_use() {
            let CellWord::Waits(owner, _) = CellWord::decode(word) else { continue };
            let at = self.word(self.layout.cell(cell));
            let refused = CellWord::Refused(owner).encode();
            if at.compare_exchange(word, refused, SeqCst, SeqCst).is_ok()
                && matches!(self.wake, Wake::Threads)
            {
                shared::wake(at);
            }
        }
        if let Wake::Event(wakeup) = &self.wake {
            wakeup.signal();
        }
    }

    /// Wakes all who have been given a place: a giver may have died before it did.
    pub(super) fn wake_granted(&self) {
        let mut any = false;
        for (cell, word) in self.cells_in_use() {
            if matches!(CellWord::decode(word), CellWord::Granted(..)) {
                any = true;
                if matches!(self.wake, Wake::Threads) {
                    shared::wake(self.word(self.layout.cell(cell)));
                }
            }
        }
        if any && let Wake::Event(wakeup) = &self.wake {
            wakeup.signal();
        }
    }

    /// Frees the cells of a dead worker, and what it was given and did not take.
    pub(super) fn free_tickets(&self, dead: Owner) {
        for cell in self.layout.cells() {
            loop {
                // A giver may change it meanwhile.
                let word = self.word(self.layout.cell(cell)).load(SeqCst);
                let decoded = CellWord::decode(word);
                if decoded.owner() != Some(dead) {
                    break;
                }
                if !self.leave(cell, word) {
                    continue;
                }
                if let CellWord::Granted(_, index) = decoded {
                    self.free_given(cell, index as usize);
                }
                break;
            }
        }
    }

    /// What becomes of a place whose giver is dead: who has been told of it already keeps it.
    pub(super) fn given_on(&self, place: PlaceWord, index: usize, giver: Owner) -> PlaceWord {
        let PlaceWord::Handing { cell, sequence, .. } = place else { return PlaceWord::Free };
        if !self.layout.cells().contains(&cell) {
            return PlaceWord::Free;
        }
        match CellWord::decode(self.word(self.layout.cell(cell)).load(SeqCst)) {
            CellWord::Granted(_, granted) if granted == index as u64 => {
                PlaceWord::Handing { giver, cell, sequence }
            }
            _ => PlaceWord::Free,
        }
    }

    /// Frees a place that is being given to a cell.
    fn free_given(&self, to_cell: u16, index: usize) {
        if self.layout.slot_of(index).is_none() {
            return;
        }
        let word = self.word(index).load(SeqCst);
        if matches!(PlaceWord::decode(word), PlaceWord::Handing { cell, .. } if cell == to_cell) {
            let _ = self.word(index).compare_exchange(word, PlaceWord::FREE, SeqCst, SeqCst);
        }
    }

    pub(super) fn waiting_workers(&self) -> impl Iterator<Item = Owner> + '_ {
        self.layout
            .cells()
            .filter_map(|cell| CellWord::decode(self.word(self.layout.cell(cell)).load(SeqCst)).owner())
    }
}
