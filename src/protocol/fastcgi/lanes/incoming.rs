// SPDX-License-Identifier: MIT OR Apache-2.0
//! What comes: records of all lanes, and what of them a reader takes from the connection itself.

use super::{
    super::{CUT, END_REQUEST, GET_VALUES_RESULT, Pairs, REQUEST, STDERR, STDOUT, VERSION},
    ANSWER, ANSWER_BODIES, ANSWER_MOST, LaneError, LaneEvent, LaneId, Lanes, LanesStage, NAME, RecordLeft,
    lane::{HEADER, LaneUse, lane_of},
    tell,
};
use crate::wire::Reader;

/// What comes next on the connection: content of a record that has begun, which is output of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Of which request.
    pub lane: LaneId,
    /// How many bytes.
    pub count: usize,
    /// Which record of the connection it is.
    pub record: u64,
}

impl Lanes {
    /// Takes bytes that have come.
    ///
    /// # Errors
    /// The host broke the rules: the connection is over for all lanes.
    pub fn receive(&mut self, input: &[u8]) -> Result<(), LaneError> {
        if self.stage == LanesStage::Over {
            return Ok(());
        }
        let taken = self.take_records(input);
        if taken.is_err() {
            self.close();
        }
        taken
    }

    fn take_records(&mut self, input: &[u8]) -> Result<(), LaneError> {
        let mut reader = Reader::new(input);
        while !reader.is_empty() {
            if self.record.content > 0 {
                let part = reader.take_up_to(self.record.content);
                self.record.content -= part.len();
                self.add(part)?;
            } else if self.record.padding > 0 {
                self.record.padding -= reader.take_up_to(self.record.padding).len();
            } else if let Some(header) = self.gather.fill(&mut reader) {
                self.begin(header)?;
            }
            if self.record.content == 0 {
                self.end()?;
            }
        }
        Ok(())
    }

    /// A record begins.
    fn begin(&mut self, header: [u8; 8]) -> Result<(), LaneError> {
        let [version, kind, id_high, id_low, high, low, padding, _reserved] = header;
        let (id, content) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([high, low]));
        if version != VERSION {
            return Err(LaneError::Version(version));
        }
        self.record = RecordLeft { kind, id, content: usize::from(content), padding: usize::from(padding) };
        self.records += 1;
        if self.stage == LanesStage::Asked {
            let is_answer = kind == GET_VALUES_RESULT && id == 0 && (1..=ANSWER_MOST).contains(&content);
            return if is_answer { Ok(()) } else { Err(LaneError::Unknown) };
        }
        let is_known = match kind {
            STDOUT | STDERR => true,
            END_REQUEST => content == 8,
            CUT => content == 0,
            _ => false,
        };
        if !is_known {
            return Err(LaneError::Type(kind));
        }
        let lane = lane_of(&mut self.lanes, id).filter(|lane| !lane.has_ended);
        let lane = lane.ok_or(LaneError::NoRequest(id))?;
        match lane.use_of {
            LaneUse::Taken if kind != CUT => {
                let [one, two] = REQUEST.to_be_bytes();
                lane.take_in(id, &[VERSION, kind, one, two, high, low, 0, 0])?;
            }
            LaneUse::Left => lane.owe(id, HEADER, &mut self.owing),
            LaneUse::Taken | LaneUse::Free => {}
        }
        Ok(())
    }

    /// A part of the content of the record has come.
    fn add(&mut self, part: &[u8]) -> Result<(), LaneError> {
        let id = self.record.id;
        if self.stage == LanesStage::Asked {
            self.answer.extend_from_slice(part);
            return Ok(());
        }
        let lane = lane_of(&mut self.lanes, id).ok_or(LaneError::NoRequest(id))?;
        if lane.use_of == LaneUse::Left {
            lane.owe(id, part.len(), &mut self.owing);
            return Ok(());
        }
        lane.take_in(id, part)?;
        tell(lane, id, &mut self.events);
        Ok(())
    }

    /// The content of the record is whole.
    fn end(&mut self) -> Result<(), LaneError> {
        let RecordLeft { kind, id, .. } = self.record;
        self.record.kind = 0;
        match kind {
            GET_VALUES_RESULT if self.stage == LanesStage::Asked => {
                let answer = std::mem::take(&mut self.answer);
                let known = Pairs::new(&answer).find(|(name, _)| *name == NAME);
                self.takes_bodies = match known {
                    Some((_, ANSWER)) => false,
                    Some((_, ANSWER_BODIES)) => true,
                    _ => return Err(LaneError::Unknown),
                };
                self.stage = LanesStage::Open;
            }
            END_REQUEST | CUT => {
                let Some(lane) = lane_of(&mut self.lanes, id) else { return Ok(()) };
                lane.has_ended = true;
                if lane.use_of == LaneUse::Left {
                    lane.use_of = LaneUse::Free;
                    self.free.push(id);
                    self.events.push_back(LaneEvent::Free(LaneId(id)));
                } else {
                    tell(lane, id, &mut self.events);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What comes next, if that is output of a request that is still in its lane.
    #[must_use]
    pub fn ahead(&self) -> Option<Ahead> {
        let RecordLeft { kind: STDOUT, id, content: count @ 1.., .. } = self.record else { return None };
        let lane = self.lanes.get(usize::from(id).wrapping_sub(1))?;
        let is_its = self.stage == LanesStage::Open && lane.use_of == LaneUse::Taken;
        is_its.then_some(Ahead { lane: LaneId(id), count, record: self.records })
    }

    /// How many of the bytes that come next the reader of a lane may take from the connection itself, for it has read all that came before
    /// them.
    #[must_use]
    pub fn may_pass(&self, lane: LaneId) -> usize {
        let LaneId(id) = lane;
        let state = self.lanes.get(usize::from(id).wrapping_sub(1));
        let has_read_all = state.is_some_and(|state| state.read == state.inbox.len());
        self.ahead().filter(|ahead| ahead.lane == lane && has_read_all).map_or(0, |ahead| ahead.count)
    }

    /// The reader of a lane has taken so many of them.
    pub fn passed(&mut self, lane: LaneId, count: usize) {
        let count = count.min(self.may_pass(lane));
        let LaneId(id) = lane;
        let Some(state) = lane_of(&mut self.lanes, id).filter(|_| count > 0) else { return };
        state.owe(id, count, &mut self.owing);
        self.record.content -= count;
    }

    /// How many bytes there are to read of a lane, as far as is known: some of them may not have come.
    #[must_use]
    pub fn available(&self, lane: LaneId) -> usize {
        let LaneId(id) = lane;
        let state = self.lanes.get(usize::from(id).wrapping_sub(1));
        let unread = state.map_or(0, |state| state.inbox.len() - state.read);
        unread + self.ahead().filter(|ahead| ahead.lane == lane).map_or(0, |ahead| ahead.count)
    }
}
