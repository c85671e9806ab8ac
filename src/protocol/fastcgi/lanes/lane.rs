// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of one request.

use super::{WINDOW, error::LaneError};

/// From so many bytes on that were read it is said that there is room again.
pub(super) const WORTH: usize = WINDOW / 2;
/// Bytes of FCGI_END_REQUEST.
const END_SIZE: usize = 16;
/// Memory that a lane keeps for the next request.
pub(super) const KEPT: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) use_of: LaneUse,
    /// Records that have come, with the number 1, from `read` on.
    pub(super) inbox: Vec<u8>,
    pub(super) read: usize,
    /// Bytes that were read and not granted again.
    pub(super) owed: usize,
    pub(super) has_ended: bool,
    pub(super) is_told: bool,
    pub(super) is_aborted: bool,
    /// The host gets something of the request, and behind how many other bytes.
    pub(super) has_begun: bool,
    pub(super) first: u64,
    /// A record that goes out, as far as it is there.
    pub(super) pending: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneUse {
    Free,
    /// By a request.
    Taken,
    /// Its request has gone, and the host has not ended it.
    Left,
}

impl LaneState {
    pub(super) fn new(inbox: Vec<u8>) -> Self {
        Self {
            use_of: LaneUse::Free,
            inbox,
            read: 0,
            owed: 0,
            has_ended: false,
            is_told: false,
            is_aborted: false,
            has_begun: false,
            first: 0,
            pending: Vec::new(),
        }
    }

    /// Keeps what has come until it is read.
    pub(super) fn take_in(&mut self, id: u16, bytes: &[u8]) -> Result<(), LaneError> {
        // What has been read is not kept for as long as the response lasts.
        if self.read >= WORTH {
            self.inbox.drain(..self.read);
            self.read = 0;
        }
        self.inbox.extend_from_slice(bytes);
        // Behind the last one an end may come.
        if self.inbox.len() - self.read > WINDOW + END_SIZE {
            return Err(LaneError::Window(id));
        }
        Ok(())
    }

    /// So much was read that the host may send again. It is told where that is worth a record.
    pub(super) fn owe(&mut self, id: u16, count: usize, owing: &mut Vec<u16>) {
        let before = self.owed;
        self.owed += count;
        if before < WORTH && self.owed >= WORTH {
            owing.push(id);
        }
    }

    /// How much the host may send more, where that is worth a record.
    pub(super) fn take_owed(&mut self) -> Option<u32> {
        if self.owed < WORTH {
            return None;
        }
        u32::try_from(std::mem::take(&mut self.owed)).ok()
    }
}

/// Bytes of a record's header.
pub(super) const HEADER: usize = 8;

/// The header of the record that stands at a place, if that is whole, and the size of it all.
pub(super) fn record_at(bytes: &mut [u8], at: usize) -> Option<(&mut [u8; HEADER], usize)> {
    let rest = bytes.get_mut(at..)?;
    let [_, _, _, _, high, low, padding, ..] = *rest else { return None };
    let size = HEADER + usize::from(u16::from_be_bytes([high, low])) + usize::from(padding);
    if rest.len() < size {
        return None;
    }
    Some((rest.first_chunk_mut()?, size))
}

/// The lane of a number, if it is in use.
pub(super) fn lane_of(lanes: &mut [LaneState], id: u16) -> Option<&mut LaneState> {
    lanes.get_mut(usize::from(id).wrapping_sub(1)).filter(|lane| lane.use_of != LaneUse::Free)
}
