// SPDX-License-Identifier: MIT OR Apache-2.0
//! One attempt of a request on one connection: the request goes out while the client sends it, the response comes
//! in and goes on as the backend sends it. Neither side waits for the other to finish.

mod waits;

use std::time::{Duration, Instant};

use gangway::{
    cgi::ResponseError,
    log::{self, Level},
    protocol::{DecodeError, Decoder, Protocol, ResponseEvent},
    report_at,
};

use crate::{
    buffers::Buffers,
    keep::Key,
    raw::{
        BodyError, Filled, Interest, Output, PATIENCE, Passed, ProxyTarget, REQUEST_TIME_OUT, Received,
        Request, RequestBody, Sent, Socket, Then, Wait, Wire,
    },
    reply::Reply,
    scheme::Kind,
    stderr::Lines,
};

/// How often a client that sends its body slowly is measured by RequestReadTimeout.
const READS_EACH: Duration = Duration::from_secs(1);

/// Why an attempt has failed.
#[derive(Debug)]
pub(crate) enum TransferError {
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

/// One attempt.
pub(crate) struct Transfer<'a, 'r> {
    pub(crate) target: ProxyTarget<'r>,
    pub(crate) wire: &'a Wire,
    /// Where others may keep connections that this request waits for.
    pub(crate) key: Option<&'a Key>,
    pub(crate) protocol: &'static dyn Protocol,
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) body: &'a mut RequestBody<'r>,
    pub(crate) reply: Reply,
    pub(crate) output: Output<'r>,
    pub(crate) stderr_level: Level,
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
    timeout: Duration,
    /// httpd has bytes that it may not have sent.
    is_dirty: bool,
    /// httpd has begun to send the response.
    pub(crate) has_begun: bool,
    pub(crate) total_sent: u64,
    pub(crate) total_received: u64,
    /// `buffers.out` is still the first part of the request.
    pub(crate) is_first_part: bool,
    /// Nobody has read the request on a connection that was idle before: it goes elsewhere.
    pub(crate) is_left: bool,
    /// The connection can carry another request.
    pub(crate) is_clean: bool,
    ended: bool,
}

impl<'a, 'r> Transfer<'a, 'r> {
    pub(crate) fn new(
        target: ProxyTarget<'r>,
        kind: Kind,
        wire: &'a Wire,
        key: Option<&'a Key>,
        buffers: &'a mut Buffers,
        body: &'a mut RequestBody<'r>,
    ) -> Self {
        let request = target.request();
        let conf = request.conf();
        let wait = match conf.and_then(|conf| conf.flush_wait()) {
            Some(0) => Wait::Never,
            Some(time) => Wait::For(time),
            None => target.flush(),
        };
        let protocol = kind.protocol();
        let limit = conf.map_or(64 * 1024, |conf| conf.head_max());
        let reply = Reply::new(kind, buffers.take_parser(), limit);
        Self {
            target,
            wire,
            key,
            protocol,
            buffers,
            body,
            reply,
            output: Output::new(request),
            stderr_level: conf.map_or(Level::Error, |conf| conf.stderr_level()),
            decoder: protocol.decoder(),
            sent: 0,
            filled: 0,
            lines: Lines::default(),
            client: request.socket(),
            closed_at: None,
            soon: if let Wait::For(time) = wait { Duration::from_millis(time.into()) } else { PATIENCE },
            flushes_each: wait == Wait::Never,
            timeout: target.timeout(),
            is_dirty: false,
            has_begun: false,
            total_sent: 0,
            total_received: 0,
            is_first_part: true,
            is_left: false,
            is_clean: false,
            ended: false,
        }
    }

    fn request(&self) -> Request<'r> {
        self.target.request()
    }

    /// The bytes that the request had, if it had no body.
    pub(crate) fn request_without_body(&self) -> Option<u64> {
        (!self.body.is_taken()).then_some(self.total_sent)
    }

    /// Ends the attempt: its memory is for the next one.
    pub(crate) fn end(self) {
        self.buffers.put_parser(self.reply.into_parser());
    }

    /// Carries the request and its response.
    pub(crate) fn run(&mut self) -> Result<(), TransferError> {
        let mut done = self.send_request();
        if done.is_ok() {
            done = self.receive_response();
        }
        let (request, level) = (self.target.request(), self.stderr_level);
        self.lines.flush(|line| log_line(request, level, line));
        self.target.count(self.total_sent, self.total_received);
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
                if self.body.ended() || !self.read_body()? {
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
            match self.body.fill(&mut self.buffers.out, self.protocol, false) {
                Filled::Some => return Ok(true),
                Filled::Failed(error) => return Err(TransferError::Body(error)),
                Filled::Nothing => {}
            }
            self.receive_now()?;
            if self.ended {
                return Ok(false);
            }
            if !self.reply.has_head() {
                self.request().invite_body();
            }
            let Some(client) = self.client else {
                // A stream of HTTP/2 can only be waited for by reading.
                return match self.body.fill(&mut self.buffers.out, self.protocol, true) {
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
            if !ready.client && !ready.receive && begun.elapsed() > self.target.client_timeout() {
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
                    } else if self.flushes_each || self.reply.is_event_stream {
                        self.deliver(Then::Flush)?;
                    } else if self.filled > half {
                        self.deliver(Then::More)?;
                    }
                }
                Received::Nothing => {
                    if self.total_received == 0 {
                        self.wire.set_slow(true);
                    }
                    if self.is_dirty || self.reply.is_forwarded() && self.filled > 0 {
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
                        .reply
                        .feed(self.target, output, output.as_ptr().addr() - start)
                        .map_err(TransferError::Head)?;
                    if !piece.is_empty() {
                        pieces.push(piece);
                    }
                }
                ResponseEvent::Errors(part) => {
                    let (request, level) = (self.target.request(), self.stderr_level);
                    self.lines.feed(part, |line| log_line(request, level, line));
                }
                ResponseEvent::End(_) => {
                    self.ended = true;
                    // Bytes behind the end belong to nobody: who knows what the next ones are.
                    self.is_clean = at + used == self.filled;
                    return Ok(());
                }
                ResponseEvent::OutputEnd => {}
                ResponseEvent::More => return Ok(()),
            }
            at += used;
        }
        if self.reply.is_overfull() {
            self.ended = true;
        }
        Ok(())
    }

    /// The backend has closed the connection.
    fn close(&mut self, orderly: bool) -> Result<(), TransferError> {
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
        self.reply.finish().map_err(TransferError::Head)?;
        let missing = self.reply.missing();
        if missing > 0 {
            self.is_clean = false;
            return Err(TransferError::Short(missing));
        }
        // What was not sent would be taken for the next request.
        self.is_clean &= self.sent == self.buffers.out.len() && self.body.ended();
        if !self.reply.is_forwarded() {
            return Ok(());
        }
        match self.deliver(Then::End) {
            // The backend has done its part.
            Err(TransferError::Answered) => Ok(()),
            other => other,
        }
    }

    /// Gives httpd what has come for the client.
    pub(crate) fn deliver(&mut self, then: Then) -> Result<(), TransferError> {
        self.filled = 0;
        if !self.reply.is_forwarded() {
            self.buffers.pieces.clear();
            return Ok(());
        }
        let Buffers { input, pieces, .. } = &mut *self.buffers;
        let bytes = pieces.iter().map(|piece| input.get(piece.clone()).unwrap_or_default());
        let passed = self.output.pass(bytes, then);
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

fn log_line(request: Request<'_>, level: Level, line: &[u8]) {
    report_at!(request, level, gangway::error::BACKEND_STDERR, "{}", log::escape(line));
}
