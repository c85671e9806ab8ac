// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of a response in progress, and what of it waits to leave.

use std::any::Any;

use super::{
    Exchange, ROOM,
    piece::{Delivery, End, Piece},
};
use crate::{
    error::{Code, NO_HEAD, TOO_SHORT},
    http::{Fields, Head},
    sys::lock,
};

/// Output that may wait for a flush, in bytes of memory. Above it all of it leaves: memory stays bounded.
const STAGED_MOST: usize = 64 * 1024;

/// Pieces that may wait for a flush: each lent one holds memory of the engine, each file a descriptor.
const PIECES_MOST: usize = 32;

/// What the heads and bodies of small responses need.
const USUAL_FIELDS: usize = 4;
const USUAL_HEAD: usize = 256;
const USUAL_BODY: usize = 512;

/// Interim responses of one request: who sends more has no use for them.
const INTERIM_MOST: u8 = 16;

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response is complete.
    Complete,
    /// The handler failed.
    Failed,
    /// It gave no response, for the server gives one, as which it counts.
    Passed(u16),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AnswerPhase {
    Waiting,
    Started,
    /// It is a WebSocket: what follows is no body.
    Upgraded,
    Ended,
}

/// ```text
/// Waiting --start--> Started --finish--> Ended
///    |--accept--> Upgraded --finish------|
///    \--------------------finish---------/
/// ```
pub(super) struct Answer {
    phase: AnswerPhase,
    staged: Delivery,
    head_left: bool,
    drop_body: bool,
    no_body: bool,
    remaining: Option<u64>,
    status: u16,
    /// Interim responses that have left.
    interim: u8,
    /// What ends with the response.
    place: Option<Box<dyn Any + Send>>,
    spare: Spare,
}

/// Memory for a response, made by the thread that will give it back: what one thread frees and another one takes goes a long way through an
/// allocator, each time.
#[derive(Default)]
struct Spare {
    fields: Fields,
    bytes: Vec<u8>,
}

impl Answer {
    /// `is_likely`: there will be one of the handler's. Its memory is of the kind that the variables of the request have.
    pub(super) fn new(variables: &Fields, no_body: bool, is_likely: bool) -> Self {
        let (mut staged, mut spare) = (Delivery::default(), Spare::default());
        if is_likely {
            spare.fields = Fields::like(variables, USUAL_FIELDS, USUAL_HEAD);
        }
        if is_likely && !no_body {
            (spare.bytes, staged.pieces) = (Vec::with_capacity(USUAL_BODY), Vec::with_capacity(1));
        }
        Self {
            phase: AnswerPhase::Waiting,
            staged,
            head_left: false,
            drop_body: no_body,
            no_body,
            remaining: None,
            status: 500,
            interim: 0,
            place: None,
            spare,
        }
    }

    /// Room for the fields of a head, of which so many are known.
    pub(super) fn room_for_fields(&mut self, count: usize) -> Fields {
        let spare = std::mem::take(&mut self.spare.fields);
        if spare.capacity() > 0 && count <= USUAL_FIELDS {
            spare
        } else {
            Fields::with_capacity(count, USUAL_HEAD)
        }
    }

    /// A copy, in the spare memory if that is there and large enough.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        if bytes.len() > self.spare.bytes.capacity() {
            return bytes.to_vec();
        }
        let mut copied = std::mem::take(&mut self.spare.bytes);
        copied.extend_from_slice(bytes);
        copied
    }

    pub(super) fn hold(&mut self, place: Box<dyn Any + Send>) {
        self.place = Some(place);
    }

    pub(super) fn release(&mut self) -> Option<Box<dyn Any + Send>> {
        self.place.take()
    }

    pub(super) fn has_head(&self) -> bool {
        self.phase != AnswerPhase::Waiting
    }

    pub(super) fn takes_body(&self) -> bool {
        self.phase == AnswerPhase::Started
    }

    pub(super) fn ended(&self) -> bool {
        self.phase == AnswerPhase::Ended
    }

    /// Whether the server answers in place of the handler: it has failed before anything left.
    pub(super) fn is_replaced(&self) -> bool {
        self.staged.end == Some(End::Failed) && !self.head_left
    }

    /// What the response counts as: one that is not whole is a failure, whatever its head says.
    pub(super) fn status(&self) -> u16 {
        if self.staged.end == Some(End::Failed) { 500 } else { self.status }
    }

    pub(super) fn has_staged(&self) -> bool {
        self.staged.head.is_some() || !self.staged.pieces.is_empty()
    }

    /// Counts an interim response. Answers whether it may leave.
    pub(super) fn may_hint(&mut self) -> bool {
        let is_early = self.interim < INTERIM_MOST;
        self.interim = self.interim.saturating_add(1);
        is_early
    }

    /// Fields will follow the body.
    pub(super) fn expect_trailers(&mut self) {
        self.staged.more().expects_trailers = true;
    }

    /// Fields that follow the body, beside those that are there.
    pub(super) fn add_trailers(&mut self, fields: &Fields) {
        let all = self.staged.more().trailers.get_or_insert_default();
        fields.iter().for_each(|(name, value)| all.push(name, value));
    }

    pub(super) fn start(&mut self, head: Head) {
        self.phase = AnswerPhase::Started;
        self.drop_body = self.no_body || head.forbids_body();
        self.remaining = if self.drop_body { None } else { head.content_length };
        self.status = head.status;
        self.staged.head = Some(head);
    }

    pub(super) fn upgrade(&mut self, head: Head) {
        self.phase = AnswerPhase::Upgraded;
        self.status = head.status;
        self.staged.head = Some(head);
    }

    /// Whether a piece of this length makes the staged output leave.
    pub(super) fn must_deliver(&self, more: usize, flush: bool) -> bool {
        let more = if self.drop_body { 0 } else { more };
        (flush && (more > 0 || self.has_staged()))
            || self.staged.weight().saturating_add(more) > STAGED_MOST
            || self.staged.pieces.len() + usize::from(more > 0) > PIECES_MOST
    }

    /// No more of the body comes: says how long it is, where nothing has left and nobody has said it.
    pub(super) fn measure(&mut self) {
        if !self.drop_body {
            self.staged.measure_all();
        }
    }

    /// Whether so much waits for a patient port that it must leave with the next piece.
    pub(super) fn is_full(&self) -> bool {
        self.staged.weight() >= ROOM || self.staged.pieces.len() >= PIECES_MOST
    }

    /// Takes a piece, cut to what Content-Length allows. Answers the number of bytes that were too many.
    pub(super) fn stage(&mut self, mut piece: Piece) -> u64 {
        if self.drop_body {
            return 0;
        }
        let mut excess = 0;
        if let Some(remaining) = &mut self.remaining {
            let length = piece.len() as u64;
            excess = length.saturating_sub(*remaining);
            piece.truncate(*remaining);
            *remaining -= length - excess;
        }
        self.staged.push(piece);
        excess
    }

    pub(super) fn take_staged(&mut self) -> Delivery {
        let mut delivery = std::mem::take(&mut self.staged);
        if delivery.end.is_none()
            && let Some(trailers) = delivery.beyond.as_mut().and_then(|beyond| beyond.trailers.take())
        {
            // They leave with the end.
            self.staged.more().trailers = Some(trailers);
        }
        self.head_left |= delivery.head.is_some();
        delivery
    }

    /// Ends the response. Answers what is wrong with it, if the handler believed that it was complete.
    pub(super) fn end(&mut self, outcome: Outcome) -> Option<(Code, String)> {
        let fault = match outcome {
            Outcome::Failed | Outcome::Passed(_) => None,
            Outcome::Complete if self.phase == AnswerPhase::Waiting => {
                Some((NO_HEAD, "the application ended without a response".to_owned()))
            }
            Outcome::Complete => self.remaining.filter(|left| *left > 0).map(|left| {
                (TOO_SHORT, format!("the application sent {left} bytes less than its Content-Length"))
            }),
        };
        let complete = outcome == Outcome::Complete && fault.is_none();
        if !complete && !self.head_left {
            // Nothing has left: the client gets a whole error answer instead of a part of this one.
            self.staged = Delivery::default();
        }
        self.staged.end = Some(match outcome {
            Outcome::Passed(status) if !self.head_left => {
                self.status = status;
                End::Passed
            }
            _ if complete => End::Complete,
            _ => End::Failed,
        });
        self.phase = AnswerPhase::Ended;
        fault
    }
}

impl Exchange {
    /// Whether the response has begun.
    #[must_use]
    pub fn has_head(&self) -> bool {
        lock(&self.answer).has_head()
    }
}
