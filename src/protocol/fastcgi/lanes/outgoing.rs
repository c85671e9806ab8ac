// SPDX-License-Identifier: MIT OR Apache-2.0
//! What leaves: records of all lanes, each of them whole.

use super::{
    super::ABORT_REQUEST,
    LaneId, Lanes, LanesStage, WINDOW, grant,
    lane::{lane_of, record_at},
};

impl Lanes {
    /// Sends bytes of a request's records, which have the number 1.
    pub fn send(&mut self, lane: LaneId, bytes: &[u8]) {
        self.send_parts(lane, [bytes]);
    }

    /// The same of bytes that stand in several places.
    pub fn send_parts<'p>(&mut self, lane: LaneId, parts: impl IntoIterator<Item = &'p [u8]>) {
        let LaneId(id) = lane;
        if self.stage != LanesStage::Open {
            return;
        }
        let (start, gone) = (self.out.len(), self.gone);
        let Some(lane) = lane_of(&mut self.lanes, id) else { return };
        self.out.append(&mut lane.pending);
        parts.into_iter().for_each(|part| self.out.extend_from_slice(part));
        // Only whole records: those of other lanes stand between them.
        let mut at = start;
        while let Some((record, size)) = record_at(&mut self.out, at) {
            let [_, kind, id_high, id_low, ..] = record;
            [*id_high, *id_low] = id.to_be_bytes();
            lane.is_aborted |= *kind == ABORT_REQUEST;
            at += size;
        }
        if at > start && !lane.has_begun {
            lane.has_begun = true;
            lane.first = gone + (start - self.sent) as u64;
        }
        lane.pending.extend_from_slice(self.out.get(at..).unwrap_or_default());
        self.out.truncate(at);
    }

    /// What is to be sent: [`Lanes::settle`] comes before it.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// Tells the host of what was read. Responses that end meanwhile need no word, so this comes late.
    pub fn settle(&mut self) {
        for id in std::mem::take(&mut self.owing) {
            let Some(lane) = lane_of(&mut self.lanes, id).filter(|lane| !lane.has_ended) else { continue };
            if let Some(owed) = lane.take_owed().filter(|_| self.stage == LanesStage::Open) {
                self.out.extend_from_slice(&grant(id, owed));
            }
        }
    }

    /// Whether there is something to be sent, or to be told.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.sent < self.out.len() || !self.owing.is_empty()
    }

    /// So many bytes of it have left.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        self.gone += count as u64;
        if self.sent >= self.out.len() {
            self.out.clear();
            self.out.shrink_to(WINDOW);
            self.sent = 0;
        }
    }

    /// Whether nothing of a request has left: its host knows nothing of it.
    #[must_use]
    pub fn is_unsent(&self, lane: LaneId) -> bool {
        let LaneId(id) = lane;
        let lane = self.lanes.get(usize::from(id).wrapping_sub(1));
        lane.is_none_or(|lane| !lane.has_begun || lane.first >= self.gone)
    }
}
