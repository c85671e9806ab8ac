// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who waits for what runs beside requests.

use crate::raw::{Request, Ticket};

/// Who is told that there is something, or the end.
#[derive(Clone, Copy)]
pub(crate) struct Listener {
    pub(crate) ready: fn(Ticket),
    /// What it gets.
    pub(crate) owner: Ticket,
    /// The request is there until the end of this, or until it is given up.
    pub(crate) has_request: bool,
}

/// What a worker knows of one of them.
pub(super) struct AsideNote {
    listener: Listener,
    /// Whose lines of the log they are.
    request: Option<Request>,
    label: String,
}

impl AsideNote {
    pub(super) fn new(listener: Listener, request: Request, label: String) -> Self {
        Self { listener, request: listener.has_request.then_some(request), label }
    }

    pub(super) fn listener(&self) -> Listener {
        self.listener
    }

    pub(super) fn request(&self) -> Option<Request> {
        self.request
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }
}
