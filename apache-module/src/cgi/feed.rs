// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body's way to a script.

use std::{
    ffi::c_int,
    io::{self, Write},
    time::Instant,
};

use gangway::log::Level;

use super::exchange::Exchange;
use crate::{body, raw::BodyRead};

/// Bytes of a body that are read from the client at a time.
const BODY_CHUNK: usize = 32 * 1024;

impl Exchange<'_, '_> {
    /// Moves the request body on, as far as nobody has to wait. Answers whether the client must send more.
    pub(super) fn feed(&mut self) -> Result<bool, c_int> {
        while let Some(stdin) = &mut self.running.stdin {
            if let Some(part) = self.chunk.get(self.written..).filter(|part| !part.is_empty()) {
                match stdin.write(part) {
                    Ok(count) => {
                        self.written += count;
                        self.last_news = Instant::now();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    // The script wants no more. httpd reads the rest, as for any handler that leaves it.
                    Err(_) => {
                        self.running.stdin = None;
                        self.body_ended = true;
                    }
                }
                continue;
            }
            if self.body_ended {
                // Standard input ends: RFC 3875 §4.2.
                self.running.stdin = None;
                break;
            }
            self.chunk.resize(BODY_CHUNK, 0);
            self.written = self.chunk.len();
            match self.session.read_now(&mut self.chunk) {
                Ok(BodyRead::Later) => {
                    self.invite();
                    return Ok(true);
                }
                Ok(BodyRead::Bytes(count)) => {
                    self.chunk.truncate(count);
                    self.written = 0;
                }
                Ok(BodyRead::End) => self.body_ended = true,
                Err(error) => {
                    self.request.log(Level::Info, &body::failed_line(error));
                    return Err(error.status);
                }
            }
        }
        Ok(false)
    }

    /// A read that does not wait sends no "100 Continue": nobody knows whether the script waits for its body, so the client is
    /// invited at once, unless it has its answer.
    fn invite(&self) {
        if self.request.expects_continue() && !self.progress.head_sent() {
            self.request.invite_body();
        }
    }
}
