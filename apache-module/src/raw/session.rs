// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request's way in and out while its handler runs.

use gangway::exchange::{Body, Piece};
use gangway_httpd::brigade::{Brigade, KeptBrigade};

use super::{Request, flow::Flow};

/// One request's input and output.
pub(crate) struct Session<'r> {
    pub(super) request: Request<'r>,
    /// What has not been passed to the output filters; made at its first use.
    pub(super) output: Option<Brigade<'r>>,
    pub(super) input: Input<Brigade<'r>>,
    /// What passes, in a filter.
    pub(super) flow: Option<Flow<'r>>,
    /// What of a response has not been passed on.
    pub(crate) staging: Staging,
}

/// What of a response has been given by handlers, and has not been passed on.
#[derive(Default)]
pub(crate) struct Staging {
    /// So many bytes; one where there are none, but something else.
    pub(crate) bytes: usize,
    /// Something has been passed on.
    pub(crate) is_sent: bool,
    /// It is to leave, and waits for a moment, for it may be all that there is.
    pub(crate) is_held: bool,
    /// So many bytes have been given, those that have been passed on with them.
    given: u64,
    /// How many there are to be, as the head says that has left.
    declared: Option<u64>,
    /// There were more.
    is_too_long: bool,
}

impl Staging {
    /// How many bytes there are to be, as the head says that has left.
    pub(crate) fn declared(&self) -> Option<i64> {
        self.declared.and_then(|declared| i64::try_from(declared).ok())
    }

    /// Bytes of which the head speaks, and that have not come.
    pub(crate) fn missing(&self) -> u64 {
        self.declared.map_or(0, |declared| declared.saturating_sub(self.given))
    }
}

impl<'r> Session<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        let staging = Staging::default();
        Self { request, output: None, input: Input::default(), flow: None, staging }
    }

    /// During one run of a filter.
    pub(crate) fn in_filter(request: Request<'r>, flow: Flow<'r>) -> Self {
        Self { flow: Some(flow), ..Self::new(request) }
    }

    /// The response begins to leave: from here on its length is what the head says. Answers by how many bytes it is longer already, for which the head
    /// speaks of no length.
    pub(super) fn settle_length(&mut self) -> u64 {
        let is_its_own = !self.request.has_sent_head() && !self.request.is_subrequest();
        let declared = is_its_own.then(|| self.request.declared_length()).flatten();
        let excess = declared.map_or(0, |declared| self.staging.given.saturating_sub(declared));
        if excess > 0 {
            self.request.forget_length();
        }
        self.staging.declared = declared.filter(|_| excess == 0);
        excess
    }

    /// A piece of a response that has begun to leave is as long as its head lets it be. Answers how many bytes are too many: behind what the head speaks
    /// of a client looks for the next response. Of one that leaves whole httpd knows the length.
    pub(crate) fn hold_to_length(&mut self, piece: &mut Piece) -> u64 {
        let length = piece.len() as u64;
        let kept =
            self.staging.declared.map_or(length, |most| length.min(most.saturating_sub(self.staging.given)));
        if kept < length {
            piece.truncate(kept);
        }
        self.staging.given += kept;
        length - kept
    }

    /// Whether this is the first time that the response turns out to be too long.
    pub(crate) fn is_first_excess(&mut self) -> bool {
        !std::mem::replace(&mut self.staging.is_too_long, true)
    }

    pub(crate) fn request(&self) -> Request<'r> {
        self.request
    }

    pub(super) fn output(&mut self) -> &mut Brigade<'r> {
        self.output.get_or_insert_with(|| self.request.brigade())
    }
}

/// How far a body has been read.
pub(super) struct Input<B> {
    /// Read in advance, and given back: it comes first.
    pub(super) ahead: Body,
    /// What the filters gave and nobody has taken. They may give more than they were asked for. Made at its first use.
    pub(super) given: Option<B>,
    /// Bytes of its first bucket that have been taken.
    pub(super) taken: usize,
    /// The filters have said that there is no more.
    pub(super) ended: bool,
}

/// How far a body has been read, between two phases of its request.
pub(super) type KeptInput = Input<KeptBrigade>;

impl<B> Input<B> {
    pub(super) fn map<C>(self, body: impl FnOnce(B) -> C) -> Input<C> {
        let Self { ahead, given, taken, ended } = self;
        Input { ahead, given: given.map(body), taken, ended }
    }
}

impl<B> Default for Input<B> {
    fn default() -> Self {
        Self { ahead: Body::default(), given: None, taken: 0, ended: false }
    }
}
