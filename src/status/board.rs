// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory that all processes of a server share for its figures: a block for each application. The server's parent makes it
//! before it has workers, names the applications of each configuration, and keeps it over reloads. It can only grow.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    block::{AppKind, Block, LifeReport},
    lane::{BEFORE, Figures, LANE, OWNER, RUNNING, UNWELL, WAITING, WorkerLane},
    passage::Tally,
    words::{self, HEAD},
};
use crate::sys::{alive_since, monotonic, shared::SharedWords};

/// "gangways" and the version of all this.
const MAGIC: u64 = 0x6761_6e67_7761_7301;
const LANES: usize = 1;
const CONFIGURATION: usize = 2;
const STARTED: usize = 3;
/// Words before the blocks: a page.
const HEADER: usize = 512;

/// Applications for which there is room from the beginning.
const ROOM: usize = 64;
/// Workers that count by themselves. Further ones share their lanes.
const MOST_LANES: usize = 256;

/// An application of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// What runs it.
    pub kind: AppKind,
    /// What it is called. Where several of a kind have the same name, they get numbers.
    pub name: String,
    /// How many requests run at a time, in each process that runs it; 0 where that is not limited.
    pub places: u32,
    /// How many may wait.
    pub room: usize,
}

/// A worker, as others recognise it: its process id, and when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerMark(u64);

impl WorkerMark {
    /// That of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of(std::process::id())
    }

    fn of(pid: u32) -> Self {
        let begun = alive_since(pid).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
        Self(u64::from(pid) & PID | begun << PID_BITS)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(self) -> u32 {
        (self.0 & PID) as u32
    }

    fn is_alive(self) -> bool {
        let mark = Self::of(self.pid());
        mark == self && mark.0 >> PID_BITS != 0
    }
}

const PID_BITS: u32 = 22;
const PID: u64 = (1 << PID_BITS) - 1;

/// What one worker has counted of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFigures {
    /// The worker's process id.
    pub pid: u32,
    /// Requests that it has answered.
    pub requests: u64,
    /// Requests that it runs now.
    pub running: u64,
}

/// An application with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFigures {
    /// What runs it.
    pub kind: AppKind,
    /// What it is called.
    pub name: String,
    /// Requests at a time, of each process that runs it; 0 where that is not limited.
    pub places: u64,
    /// Requests that may wait.
    pub room: u64,
    /// Of all workers, those that have ended included.
    pub figures: Figures,
    /// Workers that live and have had requests for it.
    pub workers: Vec<WorkerFigures>,
    /// What its supervisor says.
    pub report: LifeReport,
    /// It cannot run.
    pub unwell: Option<Unwell>,
}

/// An application that cannot run: its requests fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwell {
    /// For how long that has been known.
    pub age: Duration,
    /// Why, as far as there is room for it.
    pub reason: String,
}

/// The memory.
#[derive(Debug)]
pub struct StatusBoard {
    memory: SharedWords,
    lanes: usize,
}

impl StatusBoard {
    /// Makes it, for so many workers at a time.
    ///
    /// # Errors
    /// What memfd_create(2) and mmap(2) say.
    pub fn create(workers: usize) -> io::Result<Self> {
        let lanes = workers.clamp(2, MOST_LANES);
        let memory = SharedWords::create_growing(c"gangway-status", HEADER + ROOM * block_size(lanes))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        for (index, value) in [(LANES, lanes as u64), (STARTED, now), (0, MAGIC)] {
            if let Some(word) = memory.words().get(index) {
                word.store(value, Release);
            }
        }
        Ok(Self { memory, lanes })
    }

    /// Maps what another process has made, or this one before it was loaded anew.
    ///
    /// # Errors
    /// What mmap(2) says; `InvalidData` for memory that is no board of this version.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let memory = SharedWords::open(descriptor)?;
        let word = |index: usize| memory.words().get(index).map_or(0, |word| word.load(Acquire));
        let lanes = usize::try_from(word(LANES)).ok().filter(|lanes| (2..=MOST_LANES).contains(lanes));
        match lanes.filter(|_| word(0) == MAGIC) {
            Some(lanes) => Ok(Self { memory, lanes }),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The same memory, with room for so many applications more than there are.
    ///
    /// # Errors
    /// What ftruncate(2) and mmap(2) say.
    pub fn grown(&self, more: usize) -> io::Result<Self> {
        let wanted = self.blocks().filter(|block| !block.is_free()).count() + more;
        let blocks = wanted.max(self.blocks().count()).next_multiple_of(ROOM);
        let memory = self.memory.grow(HEADER + blocks * block_size(self.lanes))?;
        Ok(Self { memory, lanes: self.lanes })
    }

    /// Whether so many applications more have room.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.blocks().filter(Block::is_free).count() >= more
    }

    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let blocks = self.memory.words().get(HEADER..).unwrap_or_default();
        blocks.chunks_exact(block_size(self.lanes)).map(Block::new)
    }

    fn word(&self, index: usize) -> u64 {
        self.memory.words().get(index).map_or(0, |word| word.load(Acquire))
    }

    /// When it was made, in seconds since 1970: when the server was started.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.word(STARTED)
    }

    /// How many configurations have been announced.
    #[must_use]
    pub fn configurations(&self) -> u64 {
        self.word(CONFIGURATION)
    }

    /// These are the applications from now on. Answers the names that they have here, in the same order.
    pub fn announce(&self, all: &[Announced]) -> Vec<String> {
        let number = self.configurations() + 1;
        let names = names(all);
        for (announced, name) in all.iter().zip(&names) {
            if let Some(block) = self.find_or_make(announced.kind, name) {
                block.see(number, announced.places.into(), announced.room as u64);
            }
        }
        if let Some(word) = self.memory.words().get(CONFIGURATION) {
            word.store(number, Release);
        }
        names
    }

    /// The block of an application, if there is one.
    #[must_use]
    pub fn find(&self, kind: AppKind, name: &str) -> Option<Block<'_>> {
        self.blocks().take_while(|block| !block.is_free()).find(|block| block.is(kind, name))
    }

    fn find_or_make(&self, kind: AppKind, name: &str) -> Option<Block<'_>> {
        self.find(kind, name).or_else(|| {
            let made = self.blocks().find(|block| block.make(kind, name))?;
            // Another worker may have been faster.
            self.find(kind, name).or(Some(made))
        })
    }

    /// Where this worker counts the requests of an application. One that was not announced is there from now on, as long as there
    /// is room.
    #[must_use]
    pub fn tally(&'static self, kind: AppKind, name: &str, worker: WorkerMark) -> Tally {
        let Some(block) = self.find_or_make(kind, name) else { return Tally::default() };
        // Of one that was not announced it is known by its requests that it is there.
        if block.seen_in() != self.configurations() {
            block.see_again(self.configurations());
        }
        let lane = block.lanes().find(|lane| claim(lane, worker)).or_else(|| {
            // More workers than lanes: what is added is exact all the same.
            block.lanes().nth(worker.pid() as usize % self.lanes)
        });
        let head = block.head().first_chunk();
        let bounds = match kind {
            // As many as there are processes, and in all workers together.
            AppKind::Managed => None,
            // A backend has a queue of its own.
            AppKind::Upstream => Some((block.places(), u64::MAX)),
            AppKind::InProcess | AppKind::Cgi => Some((block.places(), block.room())),
        };
        Tally(lane.zip(head).map(|(words, head)| WorkerLane::new(words, head, bounds)))
    }

    /// The applications of the present configuration, in the order in which they came.
    #[must_use]
    pub fn read(&self) -> Vec<AppFigures> {
        let number = self.configurations();
        let blocks = self.blocks().take_while(|block| !block.is_free());
        blocks
            .filter(|block| block.is_made() && block.seen_in() == number)
            .filter_map(|block| read(&block))
            .collect()
    }

    /// One of them.
    #[must_use]
    pub fn read_one(&self, kind: AppKind, name: &str) -> Option<AppFigures> {
        read(&self.find(kind, name)?)
    }
}

impl AsFd for StatusBoard {
    /// For a process that is to [`StatusBoard::open`] it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

fn block_size(lanes: usize) -> usize {
    HEAD + lanes * LANE
}

/// Makes a lane this worker's, if it is nobody's or its worker has ended.
fn claim(lane: &[AtomicU64; LANE], worker: WorkerMark) -> bool {
    let owner = lane[OWNER].load(Acquire);
    if owner == worker.0 {
        return true;
    }
    if owner != 0 && WorkerMark(owner).is_alive() {
        return false;
    }
    if lane[OWNER].compare_exchange(owner, worker.0, AcqRel, Acquire).is_err() {
        return false;
    }
    // What was now then is over.
    lane[WAITING].store(0, Relaxed);
    lane[RUNNING].store(0, Relaxed);
    lane[UNWELL].store(0, Relaxed);
    lane[BEFORE].store(Figures::read(lane, false).requests(), Release);
    true
}

fn read(block: &Block<'_>) -> Option<AppFigures> {
    let (mut figures, mut workers) = (Figures::default(), Vec::new());
    let mut since = words::unwell_since(block.head());
    for lane in block.lanes() {
        let owner = lane[OWNER].load(Acquire);
        if owner == 0 {
            break;
        }
        let owner = WorkerMark(owner);
        let is_alive = owner.is_alive();
        let own = Figures::read(lane, is_alive);
        if is_alive {
            since = since.into_iter().chain(words::noted_since(block.head(), &lane[UNWELL])).min();
            let requests = own.requests().saturating_sub(lane[BEFORE].load(Acquire));
            workers.push(WorkerFigures { pid: owner.pid(), requests, running: own.running });
        }
        figures.add(&own);
    }
    let (kind, name) = (block.kind()?, block.name());
    let (places, room, report) = (block.places(), block.room(), block.report());
    let unwell = since.map(|since| Unwell {
        age: monotonic().saturating_sub(Duration::from_secs(since)),
        reason: words::unwell_reason(block.head()),
    });
    Some(AppFigures { kind, name, places, room, figures, workers, report, unwell })
}

/// A name of its own for each of a kind: the second of the same has "-2".
fn names(all: &[Announced]) -> Vec<String> {
    let mut taken: Vec<(AppKind, String)> = Vec::with_capacity(all.len());
    for announced in all {
        let is_taken =
            |name: &str| taken.iter().any(|(kind, known)| *kind == announced.kind && known == name);
        let mut name = announced.name.clone();
        let mut number = 1u32;
        while is_taken(&name) {
            number += 1;
            name = format!("{}-{number}", announced.name);
        }
        taken.push((announced.kind, name));
    }
    taken.into_iter().map(|(_, name)| name).collect()
}

#[cfg(all(test, not(miri)))]
mod tests;
