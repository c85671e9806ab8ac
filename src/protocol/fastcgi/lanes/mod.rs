// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several requests at a time on one connection between a worker of ours and gangway-host: the worker's side, without a socket.
//!
//! A request has a *lane*, which is FastCGI's number of a request (§3.3). Who uses a lane writes and reads the records of a request
//! as on a connection of its own, with the number 1; here they get and lose the number of the lane. Records that leave together
//! are sent together.
//!
//! FastCGI knows no flow control. Here a host may send [`WINDOW`] bytes of a lane, and more as [`grant`] says, so that a client that
//! takes its time stops its own response and no other one. It has no word for a response that breaks off either, but the end of the
//! connection: here that is [`cut`]. Both are records of types that FastCGI does not use, and only a host that has answered the
//! question for [`NAME`] gets and sends them.

mod error;
mod incoming;
mod lane;
mod outgoing;
mod window;

use std::collections::VecDeque;

use super::{ABORT_REQUEST, CUT, GET_VALUES, GRANT, header_of};
use crate::wire::Gather;
pub use error::LaneError;
pub use incoming::Ahead;
use lane::{KEPT, LaneState, LaneUse, lane_of};
pub use window::Window;

/// What a host is asked for, as a value of FCGI_GET_VALUES.
pub const NAME: &[u8] = b"GANGWAY_LANES";
/// What a host answers that takes requests without a body.
pub const ANSWER: &[u8] = b"1";
/// What one answers that takes any request, for it says in memory that it shares with the worker which of them it has begun.
pub const ANSWER_BODIES: &[u8] = b"2";
/// So many bytes of records may be on their way in a lane.
pub const WINDOW: usize = 128 * 1024;
/// The answer to the question may be so long.
const ANSWER_MOST: u16 = 512;

/// The record that lets a host send so many bytes more in a lane.
#[must_use]
pub fn grant(lane: u16, bytes: u32) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = header_of(lane, GRANT, 8);
    let [i, j, k, l] = bytes.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]
}

/// The record that says: no more of this response comes, and it is not whole.
#[must_use]
pub fn cut(lane: u16) -> [u8; 8] {
    header_of(lane, CUT, 0)
}

/// A request's number on the connection. It is in use until [`Lanes::leave`] or [`LaneEvent::Free`] says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(u16);

impl LaneId {
    /// As the host knows it.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// What was read of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneRead {
    /// So many bytes.
    Bytes(usize),
    /// None are there, and more come.
    Nothing,
    /// No more come.
    End,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneEvent {
    /// There is something to read, or the end of it.
    Readable(LaneId),
    /// The host has ended a request that was left: it works on it no more.
    Free(LaneId),
}

/// One connection to a host.
#[derive(Debug)]
pub struct Lanes {
    stage: LanesStage,
    takes_bodies: bool,
    lanes: Vec<LaneState>,
    free: Vec<u16>,
    events: VecDeque<LaneEvent>,
    gather: Gather<8>,
    record: RecordLeft,
    /// How many records have begun.
    records: u64,
    /// What has come of the answer to the question.
    answer: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    /// How many bytes have left in all.
    gone: u64,
    /// Lanes of which so much was read that the host is to be told.
    owing: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LanesStage {
    /// The question has no answer yet.
    Asked,
    Open,
    /// The connection has ended, or the host has broken the rules.
    Over,
}

/// The record that comes.
#[derive(Clone, Copy, Debug, Default)]
struct RecordLeft {
    kind: u8,
    id: u16,
    content: usize,
    padding: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl Lanes {
    /// A connection that has just been made.
    #[must_use]
    pub fn new() -> Self {
        let mut out = Vec::new();
        let [name, nothing] = [NAME.len() as u8, 0];
        out.extend_from_slice(&header_of(0, GET_VALUES, NAME.len() as u16 + 2));
        out.extend_from_slice(&[name, nothing]);
        out.extend_from_slice(NAME);
        Self {
            stage: LanesStage::Asked,
            takes_bodies: false,
            lanes: Vec::new(),
            free: Vec::new(),
            events: VecDeque::new(),
            gather: Gather::EMPTY,
            record: RecordLeft::default(),
            records: 0,
            answer: Vec::new(),
            out,
            sent: 0,
            gone: 0,
            owing: Vec::new(),
        }
    }

    /// Whether requests that have a body, or that must not be sent twice, may have lanes, too, or could have them.
    #[must_use]
    pub fn takes_bodies(&self) -> bool {
        self.takes_bodies
    }

    /// Whether requests may have lanes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stage == LanesStage::Open
    }

    /// Whether it is of no use any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == LanesStage::Over
    }

    /// Whether no lane is in use.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.free.len() == self.lanes.len()
    }

    /// A lane for a request. `None`: there are none here.
    pub fn take(&mut self) -> Option<LaneId> {
        if self.stage != LanesStage::Open {
            return None;
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let id = u16::try_from(self.lanes.len() + 1).ok()?;
                self.lanes.push(LaneState::new(Vec::new()));
                id
            }
        };
        let lane = self.lane_mut(id)?;
        let mut inbox = std::mem::take(&mut lane.inbox);
        inbox.clear();
        inbox.shrink_to(KEPT);
        *lane = LaneState { use_of: LaneUse::Taken, ..LaneState::new(inbox) };
        Some(LaneId(id))
    }

    /// Reads the records of a lane's response, which have the number 1.
    pub fn read(&mut self, lane: LaneId, room: &mut [u8]) -> LaneRead {
        let LaneId(id) = lane;
        let is_over = self.stage == LanesStage::Over;
        let Some(lane) = lane_of(&mut self.lanes, id) else { return LaneRead::End };
        let rest = lane.inbox.get(lane.read..).unwrap_or_default();
        let count = rest.len().min(room.len());
        if count == 0 {
            let is_end = rest.is_empty() && (lane.has_ended || is_over);
            return if is_end { LaneRead::End } else { LaneRead::Nothing };
        }
        if let (Some(to), Some(from)) = (room.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        lane.read += count;
        if lane.read == lane.inbox.len() {
            lane.inbox.clear();
            lane.read = 0;
        }
        lane.owe(id, count, &mut self.owing);
        LaneRead::Bytes(count)
    }

    /// Whether there is something to read of a lane, be it the end.
    #[must_use]
    pub fn is_readable(&self, lane: LaneId) -> bool {
        let LaneId(id) = lane;
        let lane = self.lanes.get(usize::from(id).wrapping_sub(1));
        lane.is_none_or(|lane| {
            lane.read < lane.inbox.len() || lane.has_ended || self.stage == LanesStage::Over
        })
    }

    /// The request leaves its lane. Answers whether that is free: if not the host still works on the request, has been told that
    /// nobody waits, and [`LaneEvent::Free`] comes.
    pub fn leave(&mut self, lane: LaneId) -> bool {
        let is_free = self.leave_running(lane);
        if !is_free {
            self.abort(lane);
        }
        is_free
    }

    /// The request leaves its lane, whose client has all that it wants of the response. The answer is that of [`Lanes::leave`], but the
    /// host may go on: what comes is thrown away. [`Lanes::abort`] ends that.
    pub fn leave_running(&mut self, lane: LaneId) -> bool {
        let LaneId(id) = lane;
        let is_over = self.stage == LanesStage::Over;
        let Some(lane) = lane_of(&mut self.lanes, id) else { return true };
        if lane.has_ended || is_over || !lane.has_begun {
            lane.use_of = LaneUse::Free;
            self.free.push(id);
            return true;
        }
        lane.use_of = LaneUse::Left;
        let unread = lane.inbox.len() - lane.read;
        lane.inbox.clear();
        lane.read = 0;
        lane.owe(id, unread, &mut self.owing);
        false
    }

    /// Tells the host that nobody waits for the response of a request that was left.
    pub fn abort(&mut self, lane: LaneId) {
        let LaneId(id) = lane;
        let Some(lane) = lane_of(&mut self.lanes, id).filter(|lane| lane.use_of == LaneUse::Left) else {
            return;
        };
        if !std::mem::replace(&mut lane.is_aborted, true) {
            self.out.extend_from_slice(&header_of(id, ABORT_REQUEST, 0));
        }
    }

    /// What has happened since it was asked last.
    pub fn next_event(&mut self) -> Option<LaneEvent> {
        let event = self.events.pop_front()?;
        if let LaneEvent::Readable(LaneId(id)) = event
            && let Some(lane) = lane_of(&mut self.lanes, id)
        {
            lane.is_told = false;
        }
        Some(event)
    }

    /// The connection has ended: what was not read of its lanes can be, and no more comes.
    pub fn close(&mut self) {
        if self.stage == LanesStage::Over {
            return;
        }
        self.stage = LanesStage::Over;
        self.out.clear();
        self.sent = 0;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Ok(id) = u16::try_from(index + 1) else { continue };
            match lane.use_of {
                LaneUse::Free => {}
                LaneUse::Taken => tell(lane, id, &mut self.events),
                LaneUse::Left => {
                    lane.use_of = LaneUse::Free;
                    self.free.push(id);
                    self.events.push_back(LaneEvent::Free(LaneId(id)));
                }
            }
        }
    }

    fn lane_mut(&mut self, id: u16) -> Option<&mut LaneState> {
        self.lanes.get_mut(usize::from(id).wrapping_sub(1))
    }
}

fn tell(lane: &mut LaneState, id: u16, events: &mut VecDeque<LaneEvent>) {
    if !std::mem::replace(&mut lane.is_told, true) {
        events.push_back(LaneEvent::Readable(LaneId(id)));
    }
}
