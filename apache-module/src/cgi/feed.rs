// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body's way to a script.

use std::{ffi::c_int, fs::File, time::Instant};

use gangway::{
    report,
    {run::Relay, sys::pipe::write_now},
};

use crate::raw::{BodyRead, Session};

/// Bytes of a body that are read from the client at a time.
const BODY_CHUNK: usize = 32 * 1024;
/// What stands for httpd's own status where only those of HTTP have a place.
const BODY_FAILED: u16 = 400;

/// How far the body is.
pub(super) struct Feed {
    /// Where it is to be written. None when the script has all of it, or wants no more.
    stdin: Option<File>,
    /// Bytes of it, and how many of them the script has.
    chunk: Vec<u8>,
    written: usize,
    /// The client has sent all of it.
    ended: bool,
    /// What the handler answers instead of the script, for httpd could not read on.
    pub(super) failure: Option<c_int>,
}

impl Feed {
    pub(super) fn new(stdin: Option<File>) -> Self {
        Self { stdin, chunk: Vec::new(), written: 0, ended: false, failure: None }
    }

    /// Whether the client has nothing more to send that anybody wants.
    pub(super) fn has_all(&self) -> bool {
        self.ended || self.stdin.is_none()
    }

    /// The script's standard input, when something waits for room in it.
    pub(super) fn waits_for(&self) -> Option<&File> {
        self.stdin.as_ref().filter(|_| !self.unwritten().is_empty())
    }

    fn unwritten(&self) -> &[u8] {
        self.chunk.get(self.written..).unwrap_or_default()
    }

    /// Standard input ends: RFC 3875 §4.2.
    pub(super) fn end(&mut self) {
        self.stdin = None;
    }

    /// Moves the request body on, as far as nobody has to wait. Answers whether the client must send more.
    pub(super) fn go_on(&mut self, session: &mut Session<'_>, relay: &mut Relay<'_>) -> bool {
        while let Some(stdin) = &self.stdin {
            if !self.unwritten().is_empty() {
                match write_now(stdin, self.unwritten()) {
                    Some(0) => return false,
                    Some(count) => {
                        self.written += count;
                        relay.handle_input(Instant::now());
                    }
                    // The script wants no more. httpd reads the rest, as for any handler that leaves it.
                    None => self.end(),
                }
            } else if self.ended {
                self.end();
            } else if self.read_body(session, relay) {
                return true;
            }
        }
        false
    }

    /// Answers whether the client must send more.
    fn read_body(&mut self, session: &mut Session<'_>, relay: &mut Relay<'_>) -> bool {
        let request = session.request();
        self.chunk.resize(BODY_CHUNK, 0);
        self.written = self.chunk.len();
        match session.read_now(&mut self.chunk) {
            Ok(BodyRead::Later) => {
                // A read that does not wait sends no "100 Continue": nobody knows whether the script waits for its body, so
                // the client is invited at once, unless it has its answer.
                if request.expects_continue() && !relay.has_sent_head() {
                    request.invite_body();
                }
                return true;
            }
            Ok(BodyRead::Bytes(count)) => {
                self.chunk.truncate(count);
                self.written = 0;
            }
            Ok(BodyRead::End) => self.ended = true,
            Err(error) => {
                self.ended = true;
                self.failure = Some(error.status);
                report!(request, Info, error.code(), "{error}");
                relay.handle_body_failed(BODY_FAILED);
            }
        }
        false
    }
}
