// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's body, as httpd's input filters give it: in pieces of any size, with buckets between them that hold nothing.

use gangway::exchange::Body;
use gangway_httpd::{
    brigade::{Brigade, ReadMode},
    request::BodyError,
};

use super::{
    INTERNAL_SERVER_ERROR,
    session::{Input, Session},
};

/// What reading a body gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Later,
    /// There is no more.
    End,
}

/// What is ahead, or a bucket, cannot be read.
const UNREADABLE: BodyError = BodyError { status: INTERNAL_SERVER_ERROR };

impl Session<'_> {
    /// Whether the input filters have given the last byte of the body, and all of them have been taken.
    pub(crate) fn body_ended(&self) -> bool {
        self.input.ended && self.input.ahead.is_empty()
    }

    /// Gives back what was read in advance. With `all` nothing follows it.
    pub(crate) fn unread(&mut self, body: Body, all: bool) {
        self.input.ahead = body;
        self.input.ended |= all;
    }

    /// What the input filters have called the end was none: reading goes on.
    pub(super) fn forget_end(&mut self) {
        self.input.ended = false;
    }

    /// Reads body bytes, waiting for the client; 0 is the end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, BodyError> {
        loop {
            match self.read_as(out, ReadMode::Blocking)? {
                BodyRead::Bytes(count) => return Ok(count),
                BodyRead::End => return Ok(0),
                BodyRead::Later => {}
            }
        }
    }

    /// Reads body bytes that are there.
    pub(crate) fn read_now(&mut self, out: &mut [u8]) -> Result<BodyRead, BodyError> {
        self.read_as(out, ReadMode::NonBlocking)
    }

    fn read_as(&mut self, out: &mut [u8], mode: ReadMode) -> Result<BodyRead, BodyError> {
        if out.is_empty() {
            return Ok(BodyRead::Bytes(0));
        }
        let count = self.input.ahead.read(out).map_err(|_| UNREADABLE)?;
        if count > 0 {
            return Ok(BodyRead::Bytes(count));
        }
        loop {
            match self.input.take(out, mode)? {
                BodyRead::Bytes(0) if self.input.ended => return Ok(BodyRead::End),
                BodyRead::Bytes(0) => {}
                found => return Ok(found),
            }
            let given = self.input.given.get_or_insert_with(|| self.request.brigade());
            if !self.request.read_input(given, out.len(), mode)? {
                return Ok(BodyRead::Later);
            }
        }
    }
}

impl Input<Brigade<'_>> {
    /// Takes as much of what the filters gave as there is room for. No bytes: all has been taken.
    fn take(&mut self, out: &mut [u8], mode: ReadMode) -> Result<BodyRead, BodyError> {
        let Some(given) = &mut self.given else { return Ok(BodyRead::Bytes(0)) };
        let mut count = 0;
        while let Some(room) = out.get_mut(count..).filter(|room| !room.is_empty()) {
            let Some(mut bucket) = given.first() else { break };
            if bucket.is_end() {
                self.ended = true;
                given.clear();
                break;
            }
            let bytes = match bucket.read(mode) {
                Ok(bytes) => bytes,
                // What has been read already is given first.
                Err(_) if count > 0 => break,
                Err(libc::EAGAIN) => return Ok(BodyRead::Later),
                Err(_) => return Err(UNREADABLE),
            };
            let rest = bytes.get(self.taken..).unwrap_or_default();
            let part = rest.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..part), rest.get(..part)) {
                to.copy_from_slice(from);
            }
            count += part;
            if part < rest.len() {
                self.taken += part;
            } else {
                self.taken = 0;
                bucket.delete();
            }
        }
        Ok(BodyRead::Bytes(count))
    }
}
