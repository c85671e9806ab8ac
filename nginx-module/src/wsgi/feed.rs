// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request body that comes in while its handler runs (`gangway_request_buffering off`).
//!
//! The client is read from when the handler wants bytes and has none, and only then: what it does not read waits in the
//! kernel, so the client waits too, and memory stays as it is. A client that is waited for has client_body_timeout.

use gangway::exchange::Channel;
use nginx_sys::ngx_int_t;

use crate::raw::{More, Request};

/// Bytes that a handler gets at a time, at least if they are there.
const PART: usize = 64 * 1024;

/// The nginx side of such a body.
#[derive(Default)]
pub(crate) struct Feed {
    wanted: bool,
    ended: bool,
    bytes: Vec<u8>,
}

impl Feed {
    /// Whether the handler waits for the client.
    pub(crate) fn waits(&self) -> bool {
        self.wanted && !self.ended
    }

    /// Whether more can come.
    pub(crate) fn is_open(&self) -> bool {
        !self.ended
    }

    /// Asks whether the handler waits for bytes now.
    pub(crate) fn look(&mut self, channel: &Channel) {
        self.wanted |= channel.wants_body();
    }

    /// Gives the handler what has come.
    ///
    /// # Errors
    /// The status of the request when no more can come.
    pub(crate) fn give(&mut self, request: Request, channel: &Channel) -> Result<(), ngx_int_t> {
        self.bytes.clear();
        loop {
            request.take_body(&mut self.bytes);
            if !request.is_reading_body() || self.bytes.len() >= PART {
                break;
            }
            match request.read_more() {
                More::Came => {}
                More::Later => break,
                More::Failed(status) => return Err(status),
            }
        }
        if !self.bytes.is_empty() {
            self.wanted = false;
            channel.feed(&self.bytes);
        }
        if !request.is_reading_body() {
            self.ended = true;
            channel.end_body(true);
            // It is not needed again.
            self.bytes = Vec::new();
        }
        if !self.waits() {
            request.pause_body();
        }
        Ok(())
    }
}
