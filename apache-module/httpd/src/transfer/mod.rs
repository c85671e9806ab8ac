// SPDX-License-Identifier: MIT OR Apache-2.0
//! One attempt of a request on one connection to a backend: the request goes out while the client sends it, the response comes
//! in and goes on as the backend sends it. Neither side waits for the other to finish.
//!
//! ```text
//! wire      the connection: system calls
//! buffers   memory that a thread uses for one request after the other
//! record    a part of the request's body, framed
//! quota     how much of the response's body is for the client
//! lines     what the backend writes to its standard error
//! carried   what a module knows of the request, and the attempt does not
//! waits     how an attempt waits
//! ```

mod buffers;
mod carried;
mod lines;
mod quota;
mod record;
mod waits;
mod wire;

use std::time::{Duration, Instant};

use gangway::{
    cgi::ResponseError,
    protocol::{DecodeError, Decoder, Protocol, ResponseEvent},
};

pub use buffers::Buffers;
pub use carried::{Carried, Filled, Passed, SilenceWatch, Then};
use lines::Lines;
pub use quota::BodyQuota;
pub use record::{AT_A_TIME, Record};
pub use wire::{Interest, PATIENCE, Readiness, Received, Sent, Wire};

use crate::{
    request::{BodyError, Socket},
    status::REQUEST_TIME_OUT,
};

/// How often a client that sends its body slowly is measured by RequestReadTimeout.
const READS_EACH: Duration = Duration::from_secs(1);

/// Why an attempt has failed.
#[derive(Debug)]
pub enum TransferError {
    /// The client has left.
    Gone,
    /// A filter has answered the client; nothing more of the response is wanted.
    Answered,
    /// The backend was silent for too long.
    Timeout,
    /// The backend has closed or reset the connection.
    Closed(DecodeError),
    /// The backend broke its protocol.
    Broken(DecodeError),
    /// The head of the response is not one.
    Head(ResponseError),
    /// So many bytes of the body are missing.
    Short(u64),
    /// The body of the request cannot be read.
    Body(BodyError),
}

/// How long output of a backend may wait for more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: `flushpackets=on`.
    Never,
    /// Milliseconds, of `flushpackets=auto`.
    For(u32),
    /// Nothing is said.
    Default,
}

/// The times of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long the backend may be silent.
    pub backend: Duration,
    /// How long the client may be silent.
    pub client: Duration,
    /// How long output may wait for more.
    pub wait: Wait,
}

/// One attempt.
pub struct Transfer<'a, C> {
    /// What the module knows of the request.
    pub carried: &'a mut C,
    wire: &'a Wire,
    protocol: &'static dyn Protocol,
    buffers: &'a mut Buffers,
    decoder: Decoder,
    /// Bytes of `buffers.out` that have left.
    sent: usize,
    /// Bytes of `buffers.input` that are in use.
    filled: usize,
    lines: Lines,
    client: Option<Socket>,
    /// When the client closed its side.
    closed_at: Option<Instant>,
    soon: Duration,
    flushes_each: bool,
    times: Times,
    /// httpd has bytes that it may not have sent.
    is_dirty: bool,
    /// httpd has begun to send the response.
    pub has_begun: bool,
    /// Bytes that the backend has been sent.
    pub total_sent: u64,
    /// Bytes that have come from it.
    pub total_received: u64,
    /// `buffers.out` is still the first part of the request.
    pub is_first_part: bool,
    /// Nobody has read the request on a connection that was idle before: it goes elsewhere.
    pub is_left: bool,
    /// The connection can carry another request.
    pub is_clean: bool,
    /// The backend has ended before it has read everything.
    pub is_reset: bool,
    ended: bool,
}

impl<'a, 'r, C: Carried<'r>> Transfer<'a, C> {
    /// Begins one whose first part stands in `buffers.out`.
    pub fn new(
        carried: &'a mut C,
        protocol: &'static dyn Protocol,
        wire: &'a Wire,
        buffers: &'a mut Buffers,
        times: Times,
    ) -> Self {
        Self {
            client: carried.request().socket(),
            carried,
            wire,
            protocol,
            buffers,
            decoder: protocol.decoder(),
            sent: 0,
            filled: 0,
            lines: Lines::default(),
            closed_at: None,
            soon: if let Wait::For(time) = times.wait {
                Duration::from_millis(time.into())
            } else {
                PATIENCE
            },
            flushes_each: times.wait == Wait::Never,
            times,
            is_dirty: false,
            has_begun: false,
            total_sent: 0,
            total_received: 0,
            is_first_part: true,
            is_left: false,
            is_clean: false,
            is_reset: false,
            ended: false,
        }
    }

    /// Whether all of the response has come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the backend has closed the connection behind the head of a response.
    #[must_use]
    pub fn breaks_off(&self, done: &Result<(), TransferError>) -> bool {
        matches!(done, Err(TransferError::Closed(_))) && self.carried.is_forwarded()
    }

    /// Carries the request and its response.
    ///
    /// # Errors
    /// Why it did not work. A line of that is the caller's.
    pub fn run(&mut self) -> Result<(), TransferError> {
        let mut done = self.send_request();
        if done.is_ok() {
            done = self.receive_response();
        }
        let Self { carried, lines, .. } = self;
        lines.flush(|line| carried.log_line(line));
        if done.is_err() && self.sent == self.buffers.out.len() && !self.ended {
            // Only between two records: the backend can end what nobody waits for. It goes out or it does not.
            let _ = self.wire.send(self.protocol.abort());
        }
        done
    }

    // ---- the request ----

    /// Sends what there is, and what the client sends, until all of it has left or the backend wants no more.
    fn send_request(&mut self) -> Result<(), TransferError> {
        while !self.ended {
            let rest = self.buffers.out.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                if self.carried.body_ended() || !self.read_body()? {
                    return Ok(());
                }
                continue;
            }
            match self.wire.send(rest) {
                Sent::Bytes(count) => {
                    self.sent += count;
                    self.total_sent += count as u64;
                }
                Sent::Full => self.wait_for_room()?,
                // It may have answered before it closed.
                Sent::Broken => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads the next part of the body. Answers whether there may be more to do: false when the backend has ended.
    fn read_body(&mut self) -> Result<bool, TransferError> {
        self.buffers.out.clear();
        (self.sent, self.is_first_part) = (0, false);
        let begun = Instant::now();
        loop {
            match self.carried.fill(&mut self.buffers.out, self.protocol, false) {
                Filled::Some => return Ok(true),
                Filled::Failed(error) => return Err(TransferError::Body(error)),
                Filled::Nothing => {}
            }
            self.receive_now()?;
            if self.ended {
                return Ok(false);
            }
            if !self.carried.has_head() {
                self.carried.request().invite_body();
            }
            let Some(client) = self.client else {
                // A stream of HTTP/2 can only be waited for by reading.
                return match self.carried.fill(&mut self.buffers.out, self.protocol, true) {
                    // Nothing: a filter waits for more before it gives any.
                    Filled::Some | Filled::Nothing => Ok(true),
                    Filled::Failed(error) => Err(TransferError::Body(error)),
                };
            };
            let ready = self
                .wire
                .wait(Interest { send: false, client: Some((client.descriptor(), true)) }, READS_EACH);
            if ready.client_reset {
                return Err(TransferError::Gone);
            }
            // The input filters know the time that the client has: RequestReadTimeout. Timeout is the bound without.
            if !ready.client && !ready.receive && begun.elapsed() > self.times.client {
                return Err(TransferError::Body(BodyError { status: REQUEST_TIME_OUT }));
            }
        }
    }

    // ---- the response ----

    fn receive_response(&mut self) -> Result<(), TransferError> {
        if self.wire.is_slow() && self.total_received == 0 && !self.ended {
            let begun = Instant::now();
            self.wait_long()?;
            self.wire.set_slow(begun.elapsed() >= PATIENCE);
        }
        while !self.ended {
            let room = self.buffers.input.get_mut(self.filled..).unwrap_or_default();
            // The rest of a response, or its end, mostly follows at once.
            match self.wire.receive_soon(room, self.soon, self.total_received > 0) {
                Received::Bytes(count) => {
                    self.take(count)?;
                    let half = self.buffers.input.len() / 2;
                    if self.ended {
                        break;
                    } else if self.flushes_each || self.carried.is_event_stream() {
                        self.deliver(Then::Flush)?;
                    } else if self.filled > half {
                        self.deliver(Then::More)?;
                    }
                }
                Received::Nothing => {
                    if self.total_received == 0 {
                        self.wire.set_slow(true);
                    }
                    if self.is_dirty || self.carried.is_forwarded() && self.filled > 0 {
                        self.deliver(Then::Flush)?;
                    }
                    self.wait_long()?;
                }
                Received::End => self.close(true)?,
                Received::Broken => self.close(false)?,
            }
        }
        self.finish()
    }

    /// Takes what is there, while the request is still on its way.
    fn receive_now(&mut self) -> Result<(), TransferError> {
        let room = self.buffers.input.get_mut(self.filled..).unwrap_or_default();
        match self.wire.receive(room) {
            Received::Bytes(count) => {
                self.take(count)?;
                if !self.ended { self.deliver(Then::Flush) } else { Ok(()) }
            }
            Received::Nothing => Ok(()),
            Received::End => self.close(true),
            Received::Broken => self.close(false),
        }
    }

    /// Understands bytes that have come.
    fn take(&mut self, count: usize) -> Result<(), TransferError> {
        self.total_received += count as u64;
        let mut at = self.filled;
        self.filled = (at + count).min(self.buffers.input.len());
        let Buffers { input, pieces, .. } = &mut *self.buffers;
        let start = input.as_ptr().addr();
        while at < self.filled {
            let new = input.get(at..self.filled).unwrap_or_default();
            let (used, event) = self.decoder.decode(new).map_err(TransferError::Broken)?;
            match event {
                ResponseEvent::Output(output) => {
                    let piece = self
                        .carried
                        .feed(output, output.as_ptr().addr() - start)
                        .map_err(TransferError::Head)?;
                    if !piece.is_empty() {
                        pieces.push(piece);
                    }
                }
                ResponseEvent::Errors(part) => {
                    let carried = &*self.carried;
                    self.lines.feed(part, |line| carried.log_line(line));
                }
                ResponseEvent::End(status) => {
                    self.ended = true;
                    if !self.carried.ends_well(status) {
                        return Err(TransferError::Closed(DecodeError::Cut));
                    }
                    // Bytes behind the end belong to nobody: who knows what the next ones are.
                    self.is_clean = at + used == self.filled;
                    return Ok(());
                }
                ResponseEvent::OutputEnd => {}
                ResponseEvent::More => return Ok(()),
            }
            at += used;
        }
        if self.carried.is_overfull() {
            self.ended = true;
        }
        Ok(())
    }

    /// The backend has closed the connection.
    fn close(&mut self, orderly: bool) -> Result<(), TransferError> {
        self.is_reset = !orderly;
        self.decoder.finish().map_err(TransferError::Closed)?;
        // Where the end of the connection is the end of the response, a reset is none.
        let can_end = !self.protocol.keeps_connections() && self.total_received > 0;
        if !can_end || !orderly {
            return Err(TransferError::Closed(DecodeError::Cut));
        }
        self.ended = true;
        Ok(())
    }

    /// The response has come: its last bytes leave.
    fn finish(&mut self) -> Result<(), TransferError> {
        self.carried.finish().map_err(TransferError::Head)?;
        let missing = self.carried.missing();
        if missing > 0 {
            self.is_clean = false;
            return Err(TransferError::Short(missing));
        }
        // What was not sent would be taken for the next request.
        self.is_clean &= self.sent == self.buffers.out.len() && self.carried.body_ended();
        if !self.carried.is_forwarded() {
            return Ok(());
        }
        match self.deliver(Then::End) {
            // The backend has done its part.
            Err(TransferError::Answered) => Ok(()),
            other => other,
        }
    }

    /// Gives httpd what has come for the client.
    ///
    /// # Errors
    /// The client has left, or has another answer.
    pub fn deliver(&mut self, then: Then) -> Result<(), TransferError> {
        self.filled = 0;
        if !self.carried.is_forwarded() {
            self.buffers.pieces.clear();
            return Ok(());
        }
        let Buffers { input, pieces, .. } = &mut *self.buffers;
        let bytes = pieces.iter().map(|piece| input.get(piece.clone()).unwrap_or_default());
        let passed = self.carried.pass(bytes, then);
        pieces.clear();
        self.has_begun = true;
        self.is_dirty = then == Then::More;
        match passed {
            Passed::Taken => Ok(()),
            Passed::Answered => Err(TransferError::Answered),
            Passed::Gone => Err(TransferError::Gone),
        }
    }
}
