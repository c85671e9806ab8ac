// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server's workers and the supervisor share about one application: its processes, who has a place of which, and
//! who waits for one. No process of an application sees this memory.
//!
//! ```text
//! layout   where each word stands; word: what the words say, as values
//! queue    those who wait, first come first served over all workers
//! recorder which request each place has, and what each process did last
//! ```
//!
//! A place of a process is one word. Who changes it from free to its own process id has the place, so that there is no
//! moment in which a worker that dies leaves a place of nobody: the supervisor frees what bears the dead worker's id
//! ([`Segment::free_worker`]). One that is to free a place looks for somebody who waits after that, one that is to wait looks for
//! a free place after it is seen to wait, and all of it in one order for all (`SeqCst`): one of the two sees the other. For the same
//! reason one that drains a process and one that has claimed a place of it cannot miss each other.
//!
//! Nothing here locks, so that a worker that is killed or stopped in the middle holds nobody up.

mod layout;
mod queue;
mod recorder;
#[cfg(all(test, not(miri)))]
mod tests;
mod word;

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

use crate::sys::{EventFd, is_ending, shared::SharedWords};
use layout::SegmentLayout;
pub use queue::{QueuePoll, Ticket};
pub use recorder::{EntryKind, RecorderEntry, RequestId};
pub use word::{Condition, Owner, SlotState};
use word::{PlaceWord, SlotWord};

/// How large a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many processes there may be at a time, those that still end or already begin included.
    pub slots: u16,
    /// How many requests a process takes at a time.
    pub threads: u16,
    /// How many requests may wait, in all workers together.
    pub room: u16,
}

/// How those who wait learn that it is their turn.
#[derive(Clone, Debug)]
pub enum Wake {
    /// Event loops watch this, with edges; nobody reads it, and all who watch look after their tickets.
    Event(Arc<EventFd>),
    /// Threads sleep on their place in the queue: [`Segment::wait`].
    Threads,
}

/// A place of a process that a request has. It is given back once, by [`Segment::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a place that nobody gives back is lost until its worker ends"]
pub struct Place {
    slot: u16,
    index: usize,
    word: u64,
}

impl Place {
    /// Which process: the number of its slot.
    #[must_use]
    pub fn slot(&self) -> u16 {
        self.slot
    }
}

/// What becomes of a request that asks for a place.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// It has one.
    Claimed(Place),
    /// It waits.
    Waits(Ticket),
    /// So many wait already.
    Full,
    /// No process runs, and the last attempts to start one have failed.
    Down,
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What its process does.
    pub state: SlotState,
    /// With which code the process was started.
    pub generation: u32,
    /// Its process id, 0 without one.
    pub pid: u32,
    /// It has said that the application cannot run in it.
    pub is_unwell: bool,
    /// How many requests it has now.
    pub claims: u16,
    /// How many requests it has had.
    pub served: u64,
    /// Its share of memory in bytes, if that was looked at.
    pub memory: Option<u64>,
}

/// The shared memory of one application.
#[derive(Debug)]
pub struct Segment {
    memory: SharedWords,
    layout: SegmentLayout,
    directory: PathBuf,
    wake: Wake,
}

impl Segment {
    /// Makes the memory. The sockets of the processes will stand at [`Segment::socket_path`], below `prefix`.
    ///
    /// # Errors
    /// What memfd_create(2) and mmap(2) say; `InvalidInput` for a path that is too long for a socket.
    pub fn create(shape: Shape, prefix: &Path, wake: Wake) -> io::Result<Self> {
        let layout = SegmentLayout::of(shape);
        let text = prefix.as_os_str().as_bytes();
        if text.len() > layout::PREFIX_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"));
        }
        let memory = SharedWords::create(c"gangway", layout.size())?;
        layout::write_header(memory.words(), shape, text);
        Ok(Self { memory, layout, directory: prefix.into(), wake })
    }

    /// Maps what another process has made.
    ///
    /// # Errors
    /// What mmap(2) says; `InvalidData` for memory that is no segment of this version.
    pub fn open(descriptor: OwnedFd, wake: Wake) -> io::Result<Self> {
        let memory = SharedWords::open(descriptor)?;
        let (shape, prefix) = layout::read_header(memory.words()).ok_or(io::ErrorKind::InvalidData)?;
        let layout = SegmentLayout::of(shape);
        if layout.size() > memory.words().len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let directory = PathBuf::from(std::ffi::OsString::from_vec(prefix));
        Ok(Self { memory, layout, directory, wake })
    }

    /// How large it is.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.layout.shape()
    }

    /// Where the process of a slot listens.
    #[must_use]
    pub fn socket_path(&self, slot: u16) -> PathBuf {
        let mut path = self.directory.clone().into_os_string();
        path.push(format!("{slot}"));
        path.into()
    }

    /// Claims a place for a request of this worker; `now` are milliseconds of the monotonic clock. Of the processes that have a
    /// free one, the busiest gives it, so that idle ones can stop.
    pub fn claim(&self, worker: Owner, now: u64) -> Claim {
        if !self.has_waiting()
            && let Some(place) = self.take_place(PlaceWord::Claimed(worker, now))
        {
            self.count(place.slot);
            return Claim::Claimed(place);
        }
        if self.condition() == Condition::Down && !self.has_ready() {
            return Claim::Down;
        }
        // Where requests may not wait, the first of them waits for the first process all the same.
        if self.layout.shape().room == 0 && self.has_ready() {
            return Claim::Full;
        }
        let Some(ticket) = self.enqueue(worker) else { return Claim::Full };
        self.hand_over(worker);
        // Those who waited before it was said have been refused.
        if self.condition() == Condition::Down && !self.has_ready() {
            self.withdraw(ticket, worker);
            return Claim::Down;
        }
        match self.poll(&ticket, worker, now) {
            QueuePoll::Waits => Claim::Waits(ticket),
            QueuePoll::Claimed(place) => Claim::Claimed(place),
            QueuePoll::Refused => Claim::Down,
        }
    }

    /// Gives a place back. Answers whether somebody who waits in this worker has it now: others have been woken.
    pub fn release(&self, worker: Owner, place: Place) -> bool {
        // It is another one's only if this worker was taken for dead.
        let _ = self.word(place.index).compare_exchange(place.word, PlaceWord::FREE, SeqCst, SeqCst);
        self.hand_over(worker)
    }

    /// The process of this place has not answered in time: it takes no more requests, and the supervisor is to end it.
    pub fn mark_stuck(&self, place: &Place) {
        self.mark(place, SlotState::Stuck);
    }

    /// Nobody listens for the process of this place: it takes no more requests.
    pub fn mark_gone(&self, place: &Place) {
        self.mark(place, SlotState::Gone);
    }

    /// Whether the process of this place has ended, or is about to. Before all of its sockets are closed one more connection may seem to be made.
    #[must_use]
    pub fn is_ending(&self, place: &Place) -> bool {
        is_ending(self.slot(place.slot).pid)
    }

    fn mark(&self, place: &Place, mark: SlotState) {
        let word = self.word(self.layout.slot(place.slot) + layout::STATE);
        let seen = word.load(SeqCst);
        let SlotWord { state, generation } = SlotWord::decode(seen);
        // Its place is still claimed: it is the same process, or none.
        if state == SlotState::Ready {
            let marked = SlotWord { state: mark, generation }.encode();
            let _ = word.compare_exchange(seen, marked, SeqCst, SeqCst);
        }
    }

    /// Takes a free place of the busiest process that has one, and puts `holder` there.
    fn take_place(&self, holder: PlaceWord) -> Option<Place> {
        let word = holder.encode();
        loop {
            let (slot, index) = self.free_place()?;
            if self.word(index).compare_exchange(PlaceWord::FREE, word, SeqCst, SeqCst).is_err() {
                continue;
            }
            if self.state(slot) == SlotState::Ready {
                return Some(Place { slot, index, word });
            }
            // The process ends, or has ended: the supervisor has said so before it looked at this place, or sees the claim.
            let _ = self.word(index).compare_exchange(word, PlaceWord::FREE, SeqCst, SeqCst);
        }
    }

    /// A free place of the busiest process that has one.
    fn free_place(&self) -> Option<(u16, usize)> {
        let mut found = None;
        for slot in 0..self.layout.shape().slots {
            if self.state(slot) != SlotState::Ready {
                continue;
            }
            let (mut claims, mut free) = (0, None);
            for index in self.layout.places(slot) {
                if self.word(index).load(SeqCst) == PlaceWord::FREE {
                    free = free.or(Some(index));
                } else {
                    claims += 1;
                }
            }
            if let Some(index) = free
                && found.is_none_or(|(most, _, _)| claims > most)
            {
                found = Some((claims, slot, index));
            }
        }
        found.map(|(_, slot, index)| (slot, index))
    }

    fn count(&self, slot: u16) {
        self.word(self.layout.slot(slot) + layout::SERVED).fetch_add(1, Relaxed);
    }

    /// Whether the supervisor is to be told that a request waits: not if as many processes serve as there may be. It sees by itself
    /// when one of those ends.
    pub fn wants_more(&self, most: u32) -> bool {
        let ready = (0..self.layout.shape().slots).filter(|slot| self.state(*slot) == SlotState::Ready);
        ready.count() < most as usize
    }

    fn has_ready(&self) -> bool {
        (0..self.layout.shape().slots).any(|slot| self.state(slot) == SlotState::Ready)
    }

    fn state(&self, slot: u16) -> SlotState {
        SlotWord::decode(self.word(self.layout.slot(slot) + layout::STATE).load(SeqCst)).state
    }

    fn word(&self, index: usize) -> &std::sync::atomic::AtomicU64 {
        // The layout has been compared with the size of the memory.
        &self.memory.words()[index]
    }
}

/// The supervisor's side.
impl Segment {
    /// Says what the process of a slot does. After [`SlotState::Ready`] comes [`Segment::hand_over`].
    pub fn set_state(&self, slot: u16, state: SlotState, generation: u32) {
        let word = SlotWord { state, generation }.encode();
        self.word(self.layout.slot(slot) + layout::STATE).store(word, SeqCst);
    }

    /// Says which process a slot has; 0 is none.
    pub fn set_pid(&self, slot: u16, pid: u32) {
        self.word(self.layout.slot(slot) + layout::MEMORY).store(0, SeqCst);
        self.word(self.layout.slot(slot) + layout::PID).store(u64::from(pid), SeqCst);
    }

    /// Says how much memory the process of a slot has as its share, in bytes.
    pub fn set_memory(&self, slot: u16, pid: u32, bytes: u64) {
        let at = self.layout.slot(slot);
        if self.word(at + layout::PID).load(SeqCst) as u32 == pid {
            self.word(at + layout::MEMORY).store(bytes, SeqCst);
        }
    }

    /// Says whether the application can run in the process of a slot, for a supervisor that takes the place of this one. It is forgotten with
    /// the process.
    pub fn set_unwell(&self, slot: u16, is_unwell: bool) {
        let word = self.word(self.layout.slot(slot) + layout::PID);
        if is_unwell {
            word.fetch_or(layout::UNWELL_BIT, SeqCst);
        } else {
            word.fetch_and(!layout::UNWELL_BIT, SeqCst);
        }
    }

    /// Begins to count anew what the process of a slot has served.
    pub fn reset_served(&self, slot: u16) {
        self.word(self.layout.slot(slot) + layout::SERVED).store(0, SeqCst);
    }

    /// What is known of a slot.
    #[must_use]
    pub fn slot(&self, slot: u16) -> Slot {
        let at = self.layout.slot(slot);
        let SlotWord { state, generation } = SlotWord::decode(self.word(at + layout::STATE).load(SeqCst));
        let pid = self.word(at + layout::PID).load(SeqCst);
        Slot {
            state,
            generation,
            pid: pid as u32,
            is_unwell: pid & layout::UNWELL_BIT != 0,
            claims: self.claims(slot),
            served: self.word(at + layout::SERVED).load(Relaxed),
            memory: Some(self.word(at + layout::MEMORY).load(SeqCst)).filter(|bytes| *bytes > 0),
        }
    }

    /// How many requests the process of a slot has.
    #[must_use]
    pub fn claims(&self, slot: u16) -> u16 {
        let taken = |index: &usize| self.word(*index).load(SeqCst) != PlaceWord::FREE;
        self.layout.places(slot).filter(taken).count() as u16
    }

    /// When the request that a process has had for longest was given to it, in milliseconds of the monotonic clock.
    #[must_use]
    pub fn oldest_claim(&self, slot: u16) -> Option<u64> {
        let since = |index| match PlaceWord::decode(self.word(index).load(SeqCst)) {
            PlaceWord::Claimed(_, since) => Some(since),
            PlaceWord::Free | PlaceWord::Handing { .. } => None,
        };
        self.layout.places(slot).filter_map(since).min()
    }

    /// How it goes with starting processes.
    #[must_use]
    pub fn condition(&self) -> Condition {
        Condition::decode(self.word(layout::CONDITION).load(SeqCst))
    }

    /// Says how it goes. With [`Condition::Down`] all who wait are refused.
    pub fn set_condition(&self, condition: Condition) {
        self.word(layout::CONDITION).store(condition as u64, SeqCst);
        if condition == Condition::Down {
            self.refuse_waiting();
        }
    }

    /// Whether somebody has stopped the application: another supervisor is to know it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.word(layout::STOPPED).load(SeqCst) != 0
    }

    /// Notes that somebody has stopped it, or wants it to run.
    pub fn set_stopped(&self, stopped: bool) {
        self.word(layout::STOPPED).store(stopped.into(), SeqCst);
    }

    /// Frees what a dead worker has left: its places, and its tickets. Those who wait get the places; the others are woken.
    pub fn free_worker(&self, dead: Owner, supervisor: Owner) {
        self.free_tickets(dead);
        for slot in 0..self.layout.shape().slots {
            for index in self.layout.places(slot) {
                let word = self.word(index).load(SeqCst);
                let place = PlaceWord::decode(word);
                if place.owner() == Some(dead) {
                    self.forget_note(index);
                    let next = self.given_on(place, index, supervisor).encode();
                    let _ = self.word(index).compare_exchange(word, next, SeqCst, SeqCst);
                }
            }
        }
        self.hand_over(supervisor);
        self.wake_granted();
    }

    /// The workers that have places or tickets, some of them more than once: a new supervisor asks which of them live.
    pub fn workers(&self) -> impl Iterator<Item = Owner> + '_ {
        let places = (0..self.layout.shape().slots)
            .flat_map(|slot| self.layout.places(slot))
            .filter_map(|index| PlaceWord::decode(self.word(index).load(SeqCst)).owner());
        places.chain(self.waiting_workers())
    }
}

impl AsFd for Segment {
    /// For a process that is to [`Segment::open`] it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}
