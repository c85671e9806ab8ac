// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the words of a segment say, as values.
//!
//! Words of places and of cells have a kind in 2 bits, a process id in 22 (the kernel gives no larger one), and 40 bits of what
//! else there is to say.

/// A process of the server, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(u32);

impl Owner {
    /// The process with this id.
    #[must_use]
    pub const fn of(pid: u32) -> Self {
        Self(pid & PID_MASK as u32)
    }

    /// This process.
    #[must_use]
    pub fn this_process() -> Self {
        Self::of(std::process::id())
    }

    /// Its id.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.0
    }
}

/// What the process of a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// There is none.
    Vacant,
    /// It begins, and takes no requests yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It finishes those it has, and takes no more.
    Draining,
    /// It has been told to end.
    Ending,
    /// It has not answered a request in time, and takes no more: a worker says so, and the supervisor ends it.
    Stuck,
    /// Nobody listens where it should, so it has ended, or soon will: a worker says so.
    Gone,
}

impl SlotState {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vacant => "vacant",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Ending => "ending",
            Self::Stuck => "stuck",
            Self::Gone => "gone",
        }
    }
}

/// How it goes with starting processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Well, as far as is known: requests may wait for a process.
    Up = 0,
    /// The last attempts have failed: without a process nobody waits for the next one.
    Down = 1,
}

impl Condition {
    pub(super) fn decode(word: u64) -> Self {
        if word == Self::Down as u64 { Self::Down } else { Self::Up }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotWord {
    pub(super) state: SlotState,
    pub(super) generation: u32,
}

impl SlotWord {
    pub(super) fn encode(self) -> u64 {
        let state = match self.state {
            SlotState::Vacant => 0,
            SlotState::Starting => 1,
            SlotState::Ready => 2,
            SlotState::Draining => 3,
            SlotState::Ending => 4,
            SlotState::Stuck => 5,
            SlotState::Gone => 6,
        };
        state | u64::from(self.generation) << 8
    }

    pub(super) fn decode(word: u64) -> Self {
        let state = match word & 0xff {
            1 => SlotState::Starting,
            2 => SlotState::Ready,
            3 => SlotState::Draining,
            4 => SlotState::Ending,
            5 => SlotState::Stuck,
            6 => SlotState::Gone,
            _ => SlotState::Vacant,
        };
        Self { state, generation: (word >> 8) as u32 }
    }
}

const PID_MASK: u64 = (1 << 22) - 1;
const REST_MASK: u64 = (1 << 40) - 1;

fn pack(kind: u64, owner: Owner, rest: u64) -> u64 {
    kind | u64::from(owner.0) << 2 | (rest & REST_MASK) << 24
}

fn unpack(word: u64) -> (u64, Owner, u64) {
    (word & 3, Owner((word >> 2 & PID_MASK) as u32), word >> 24)
}

/// A place of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceWord {
    Free,
    /// A request of this worker has it, since then.
    Claimed(Owner, u64),
    /// `giver` is about to give it to the one that waits in a cell, who came with this number.
    Handing {
        giver: Owner,
        cell: u16,
        sequence: u64,
    },
}

impl PlaceWord {
    pub(super) const FREE: u64 = 0;

    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Free => Self::FREE,
            Self::Claimed(owner, since) => pack(1, owner, since),
            Self::Handing { giver, cell, sequence } => pack(2, giver, u64::from(cell) | sequence << 16),
        }
    }

    pub(super) fn decode(word: u64) -> Self {
        match unpack(word) {
            (1, owner, since) => Self::Claimed(owner, since),
            (2, giver, rest) => Self::Handing { giver, cell: rest as u16, sequence: rest >> 16 },
            _ => Self::Free,
        }
    }

    pub(super) fn owner(self) -> Option<Owner> {
        match self {
            Self::Free => None,
            Self::Claimed(owner, _) | Self::Handing { giver: owner, .. } => Some(owner),
        }
    }

    /// Whether it is being given to this one.
    pub(super) fn is_for(self, to_cell: u16, number: u64) -> bool {
        const KEPT: u64 = (1 << 24) - 1;
        matches!(self, Self::Handing { cell, sequence, .. } if cell == to_cell && sequence == number & KEPT)
    }
}

/// A cell of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellWord {
    Free,
    /// A request of this worker waits; it came with this number.
    Waits(Owner, u64),
    /// It is to have this place.
    Granted(Owner, u64),
    /// There will be none.
    Refused(Owner),
}

impl CellWord {
    pub(super) const FREE: u64 = 0;

    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Free => Self::FREE,
            Self::Waits(owner, sequence) => pack(1, owner, sequence),
            Self::Granted(owner, place) => pack(2, owner, place),
            Self::Refused(owner) => pack(3, owner, 0),
        }
    }

    pub(super) fn decode(word: u64) -> Self {
        match unpack(word) {
            (1, owner, sequence) => Self::Waits(owner, sequence),
            (2, owner, place) => Self::Granted(owner, place),
            (3, owner, _) => Self::Refused(owner),
            _ => Self::Free,
        }
    }

    pub(super) fn owner(self) -> Option<Owner> {
        match self {
            Self::Free => None,
            Self::Waits(owner, _) | Self::Granted(owner, _) | Self::Refused(owner) => Some(owner),
        }
    }
}

/// Whether one number was given out before another. They begin anew after 2^40.
pub(super) fn is_before(number: u64, other: u64) -> bool {
    number.wrapping_sub(other) & REST_MASK > REST_MASK / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn words_say_what_they_were_made_of(pid in 1u32..1 << 22, rest in 0u64..1 << 40, small in 0u64..1 << 24, cell: u16) {
            let owner = Owner::of(pid);
            for place in [
                PlaceWord::Free,
                PlaceWord::Claimed(owner, rest),
                PlaceWord::Handing { giver: owner, cell, sequence: small },
            ] {
                proptest::prop_assert_eq!(PlaceWord::decode(place.encode()), place);
            }
            for word in
                [CellWord::Free, CellWord::Waits(owner, rest), CellWord::Granted(owner, rest), CellWord::Refused(owner)]
            {
                proptest::prop_assert_eq!(CellWord::decode(word.encode()), word);
            }
        }
    }

    #[test]
    fn a_state_comes_back_with_its_generation() {
        use SlotState::{Draining, Ending, Gone, Ready, Starting, Stuck, Vacant};
        for state in [Vacant, Starting, Ready, Draining, Ending, Stuck, Gone] {
            let word = SlotWord { state, generation: u32::MAX - 1 };
            assert_eq!(SlotWord::decode(word.encode()), word);
        }
    }

    #[test]
    fn numbers_may_wrap_around() {
        assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(2, 2));
        assert!(is_before(REST_MASK, 0) && !is_before(0, REST_MASK));
    }
}
