// SPDX-License-Identifier: MIT OR Apache-2.0
//! The handler's side of a request that shares its connection: what it gives leaves as far as the worker has room for it, and nobody but
//! its own handler waits for that.

use std::{
    collections::VecDeque,
    os::unix::fs::FileExt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gangway::{
    error::{BODY_FAILED, SERVER_FAILED},
    exchange::{Cause, Delivery, End, Piece, Port, Stop, Wait},
    log::{self, Level},
    protocol::fastcgi::lanes::Window,
    sys::{explain, lock},
};

use super::table::{Granted, LaneTable};
use crate::{
    clock::Clock,
    connection::Connection,
    outgoing::{Outgoing, Page, bytes_of, leveled, write_head},
    port::{Outcome, RequestPort, substitute},
    port_state::PortState,
};

/// How long the worker may take no byte of a response for which a handler waits.
const SILENCE: Duration = Duration::from_secs(60);
/// How often such a handler looks whether it is to go on waiting.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is copied of a response at a time.
const PART: usize = 64 * 1024;

pub(crate) struct LanePort {
    table: Arc<LaneTable>,
    id: u16,
    body: Mutex<LaneBody>,
    state: PortState,
    response: Mutex<LaneResponse>,
    /// A handler that waits for room sleeps here.
    room: Condvar,
    clock: Clock,
}

/// The body of a request, all of which has come.
#[derive(Default)]
struct LaneBody {
    bytes: Vec<u8>,
    read: usize,
    /// How many more bytes there should be.
    missing: u64,
}

#[derive(Default)]
struct LaneResponse {
    window: Window,
    head_sent: bool,
    /// The end has been given, or never will be.
    is_over: bool,
    /// What the handler gave last.
    last: Option<Delivery>,
    /// What there was no room for, and how much of the first piece has left.
    rest: VecDeque<Piece>,
    done: u64,
    /// How it ends when that has left.
    ends: Option<LaneEnd>,
}

impl LaneResponse {
    /// What has not left never does.
    fn cut(&mut self) {
        self.rest.clear();
        (self.done, self.ends) = (0, self.ends.map(|_| LaneEnd::Cut));
    }
}

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneEnd {
    Whole,
    /// The client must see that something is missing.
    Cut,
}

impl LanePort {
    pub(crate) fn new(table: &Arc<LaneTable>, id: u16, clock: Clock) -> Self {
        Self {
            table: Arc::clone(table),
            id,
            body: Mutex::default(),
            state: PortState::default(),
            response: Mutex::default(),
            room: Condvar::new(),
            clock,
        }
    }

    /// The same for a request that has a body, of so many bytes as its variables say.
    pub(crate) fn with_body(self, bytes: Vec<u8>, length: Option<u64>) -> Self {
        let missing = length.unwrap_or(0).saturating_sub(bytes.len() as u64);
        Self { body: Mutex::new(LaneBody { bytes, read: 0, missing }), ..self }
    }

    /// Gives a part of the response. What there is no room for stays.
    fn give(&self, response: &mut LaneResponse, text: Vec<u8>, pieces: Vec<Piece>) -> Outgoing {
        let in_memory = pieces.iter().all(|piece| bytes_of(piece).is_some());
        let total = pieces.iter().fold(text.len(), |sum, piece| sum.saturating_add(piece.len()));
        if response.rest.is_empty() && in_memory && response.window.fits(total) {
            let mut outgoing = Outgoing::default();
            response.window.spend(total);
            outgoing.stream(self.id, text, pieces);
            return outgoing;
        }
        if !text.is_empty() {
            response.rest.push_back(Piece::Copied(text));
        }
        response.rest.extend(pieces.into_iter().filter(|piece| !piece.is_empty()));
        self.pump(response)
    }

    /// Copies what there is room for: a file that is not what it was must not break what others have on the connection.
    fn pump(&self, response: &mut LaneResponse) -> Outgoing {
        let mut outgoing = Outgoing::default();
        while let Some(piece) = response.rest.front() {
            let left = (piece.len() as u64).saturating_sub(response.done);
            let count = response.window.room().min(PART).min(usize::try_from(left).unwrap_or(PART));
            if count == 0 && left > 0 {
                break;
            }
            match copy(piece, response.done, count) {
                Some(part) => {
                    response.window.spend(count);
                    response.done += count as u64;
                    outgoing.stream(self.id, part, Vec::new());
                }
                None => {
                    self.state.set_gone();
                    response.cut();
                    break;
                }
            }
            if count as u64 == left {
                response.rest.pop_front();
                response.done = 0;
            }
        }
        outgoing
    }

    /// Has it leave, with the end if that has come. Answers whether it stays for now.
    fn post(&self, response: &mut LaneResponse, mut outgoing: Outgoing, late: bool) -> bool {
        let end = if response.rest.is_empty() { response.ends.take() } else { None };
        match end {
            None => {}
            Some(LaneEnd::Whole) => outgoing.end(self.id),
            Some(LaneEnd::Cut) => outgoing.broken_end(self.id),
        }
        if end.is_some() {
            self.table.end(self.id);
        }
        !outgoing.is_empty() && self.table.post(outgoing, late)
    }

    /// Ends the response with what the handler gave last, or with what stands for it.
    fn end(&self, page: Option<Page>, late: bool) -> Outcome {
        let cancelled = self.state.cancelled();
        let mut response = lock(&self.response);
        let last = response.last.take().unwrap_or_default();
        if std::mem::replace(&mut response.is_over, true) {
            // Somebody has answered in place of the handler.
            return Outcome::InLane { is_late: false };
        }
        let complete = page.is_none() && last.end == Some(End::Complete) && cancelled.is_none();
        let outgoing = if complete {
            response.ends = Some(LaneEnd::Whole);
            let text = head(&last);
            self.give(&mut response, text, last.pieces)
        } else if response.head_sent {
            response.ends = Some(LaneEnd::Cut);
            if cancelled == Some(Cause::ClientGone) {
                // Nobody takes what there was no room for, and the worker waits for the end alone.
                response.cut();
                Outgoing::default()
            } else {
                self.give(&mut response, Vec::new(), last.pieces)
            }
        } else {
            response.ends = Some(LaneEnd::Whole);
            let page = page.unwrap_or_else(|| substitute(cancelled, false));
            self.give(&mut response, page.response().into_bytes(), Vec::new())
        };
        let is_late = self.post(&mut response, outgoing, late);
        Outcome::InLane { is_late }
    }

    /// Sends all of it, and waits as often as there is no room.
    fn send<'r>(
        &'r self,
        mut response: MutexGuard<'r, LaneResponse>,
        delivery: Delivery,
    ) -> Result<(), Stop> {
        response.head_sent |= delivery.head.is_some();
        let text = head(&delivery);
        let outgoing = self.give(&mut response, text, delivery.pieces);
        self.post(&mut response, outgoing, false);
        let mut since = Instant::now();
        let mut left = response.rest.len();
        while !response.rest.is_empty() {
            self.state.live()?;
            self.clock.pause();
            response = self.room.wait_timeout(response, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
            if response.rest.len() != left || response.window.room() > 0 {
                (left, since) = (response.rest.len(), Instant::now());
            } else if since.elapsed() >= SILENCE {
                self.say(
                    Level::Warn,
                    &format!("{SERVER_FAILED} the server takes no more of the response; it is given up"),
                );
                return Err(self.state.set_gone());
            }
            if self.table.connection().is_shut() || self.table.connection().is_left() {
                return Err(self.state.set_gone());
            }
        }
        self.clock.restart();
        self.state.live()
    }

    fn say(&self, level: Level, text: &str) {
        log::process(level, &format!("{text} [{}]", self.state.label()));
    }
}

/// The head of a delivery as text.
fn head(delivery: &Delivery) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(head) = &delivery.head {
        write_head(head, &mut text);
    }
    text
}

/// Bytes of a piece. `None`: they cannot be read.
fn copy(piece: &Piece, from: u64, count: usize) -> Option<Vec<u8>> {
    if let Some(bytes) = bytes_of(piece) {
        let from = usize::try_from(from).ok()?;
        return bytes.get(from..from.checked_add(count)?).map(<[u8]>::to_vec);
    }
    let Piece::File(slice) = piece else { return None };
    let mut part = vec![0; count];
    let file = std::fs::File::from(slice.fd.try_clone().ok()?);
    let read = file.read_exact_at(&mut part, slice.offset.checked_add(from)?);
    if let Err(error) = &read {
        let text = format!("{SERVER_FAILED} a file that is a response cannot be read: {}", explain(error));
        log::process(Level::Error, &text);
    }
    read.ok().map(|()| part)
}

impl Granted for LanePort {
    fn grant(&self, bytes: u32) {
        let mut response = lock(&self.response);
        response.window.add(bytes);
        let outgoing = self.pump(&mut response);
        self.post(&mut response, outgoing, false);
        self.room.notify_all();
    }
}

impl RequestPort for LanePort {
    fn connection(&self) -> &Arc<Connection> {
        self.table.connection()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn finish(&self, late: bool) -> Outcome {
        self.end(None, late)
    }

    fn may_begin(&self) -> bool {
        self.table.may_begin(self.id)
    }

    fn refuse(&self, page: Page) -> Outcome {
        self.end(Some(page), false)
    }

    fn answer_instead(&self, page: Page) {
        self.end(Some(page), false);
        self.cancel();
    }

    fn state(&self) -> &PortState {
        &self.state
    }
}

impl Port for LanePort {
    fn read_body(&self, out: &mut [u8], _: Wait) -> Result<usize, Stop> {
        self.state.live()?;
        let mut body = lock(&self.body);
        let rest = body.bytes.get(body.read..).unwrap_or_default();
        let count = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        body.read += count;
        if count == 0 && !out.is_empty() && body.missing > 0 {
            // What the application reads must not look like all of it.
            let missing = body.missing;
            drop(body);
            let text =
                format!("{BODY_FAILED} cannot read the request body: {missing} bytes of it were not sent");
            self.log(Level::Info, &text);
            return Err(Stop::Failed);
        }
        Ok(count)
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        self.state.live()?;
        if wait == Wait::No { Err(Stop::Again) } else { Ok(()) }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        let mut response = lock(&self.response);
        if delivery.end.is_some() {
            response.last = Some(delivery);
            return Ok(());
        }
        self.state.live()?;
        if response.is_over {
            return Err(self.state.set_gone());
        }
        self.send(response, delivery)
    }

    /// A line for the web server's log, which has the request's context there. One for which there is no room in the lane is written here.
    fn log(&self, level: Level, line: &str) {
        if let Ok(mut response) = self.response.try_lock()
            && !response.is_over
            && let text = leveled(level, line)
            && response.window.fits(text.len())
        {
            response.window.spend(text.len());
            self.table.post(Outgoing::errors(self.id, &text), false);
            return;
        }
        match level {
            Level::Further => log::process(level, line),
            _ => self.say(level, line),
        }
    }

    fn cancel(&self) {
        self.state.set_gone();
        self.room.notify_all();
        let mut response = lock(&self.response);
        if response.is_over && !response.rest.is_empty() {
            // Its handler has done its part, and nobody takes what there was no room for.
            response.cut();
            self.post(&mut response, Outgoing::default(), false);
        }
    }

    fn is_patient(&self) -> bool {
        true
    }

    fn client_gone(&self) -> bool {
        self.state.is_gone() || self.table.connection().is_left()
    }
}

#[cfg(test)]
mod tests;
