// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a handler gets to know of a request, and until when that is kept.

use std::sync::{Arc, MutexGuard};

use super::{Errand, Exchange, SocketOffer, Wire};
use crate::{http::Fields, log, status::Tally, sys::lock};

/// What the handler gets to know of a request.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The meta-variables.
    pub variables: Fields,
    /// Length of the body; `None` when it is known at its end only.
    pub content_length: Option<u64>,
    /// The answer carries no body (HEAD).
    pub no_body: bool,
    /// The server's log takes details of this request.
    pub traced: bool,
    /// Where it is counted.
    pub tally: Tally,
    /// The client asks for a WebSocket, which its handler may accept.
    pub socket: Option<SocketOffer>,
    /// How it came in, for an engine that wants to know.
    pub wire: Option<Box<Wire>>,
    /// What the thread that takes the request does in the place of calling the handler.
    pub errand: Option<Arc<dyn Errand>>,
}

/// What of that takes memory. A WebSocket may stay for hours: then the handler's side says until when it looks at it.
#[derive(Default)]
pub(crate) struct ToldHead {
    /// The meta-variables.
    pub(crate) variables: Fields,
    /// How it came in.
    pub(crate) wire: Option<Box<Wire>>,
    /// Until it has been accepted.
    offer: Option<Box<SocketOffer>>,
    /// The request in words, once the variables are gone.
    label: Option<Box<str>>,
}

impl ToldHead {
    pub(super) fn new(variables: Fields, wire: Option<Box<Wire>>, offer: Option<SocketOffer>) -> Self {
        Self { variables, wire, offer: offer.map(Box::new), label: None }
    }

    /// Whether a WebSocket is asked for that has not been accepted.
    pub(crate) fn has_offer(&self) -> bool {
        self.offer.is_some()
    }

    fn label(&self) -> String {
        if let Some(label) = &self.label {
            return label.to_string();
        }
        let value = |name: &[u8]| log::escape(self.variables.get(name).unwrap_or_default());
        format!("\"{} {}\"", value(b"REQUEST_METHOD"), value(b"REQUEST_URI"))
    }
}

impl Exchange {
    /// What the handler gets to know.
    pub(crate) fn told(&self) -> MutexGuard<'_, ToldHead> {
        lock(&self.told)
    }

    /// Takes what a WebSocket is accepted by.
    pub(super) fn take_offer(&self) -> Option<Box<SocketOffer>> {
        self.told().offer.take()
    }

    pub(super) fn put_offer_back(&self, offer: Box<SocketOffer>) {
        self.told().offer = Some(offer);
    }

    /// Nobody looks any more at what the handler was told.
    pub(crate) fn forget_told(&self) {
        let mut told = self.told();
        let label = told.label();
        let forgotten =
            std::mem::replace(&mut *told, ToldHead { label: Some(label.into()), ..ToldHead::default() });
        drop(told);
        drop(forgotten);
    }

    /// The request in words, for lines without its context.
    #[must_use]
    pub fn label(&self) -> String {
        if let Some([method, target]) = self.errand.as_ref().and_then(|errand| errand.label()) {
            return format!("\"{} {}\"", log::escape(&method), log::escape(&target));
        }
        self.told().label()
    }
}
