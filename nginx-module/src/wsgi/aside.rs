// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers that run beside requests: filters of what passes, and what comes after a response. Their threads are not those of requests.

use std::sync::Arc;

use gangway::{
    error::SERVER_FAILED,
    exchange::{Body, Cause, Channel, Delivery, Errand, Exchange, ROOM, RequestHead},
    http::Fields,
    pool::Refusal,
    report,
    runtime::{Application, Beside, abandon},
};

use super::{
    listener::{AsideNote, Listener},
    mounted::Mounted,
    stuck,
    worker::Worker,
};
use crate::raw::{Request, Ticket};

/// One of them. It is given up when it is dropped.
pub(crate) struct Aside {
    ticket: Ticket,
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    channel: Arc<Channel>,
    has_ended: bool,
}

/// Queues one.
///
/// # Errors
/// Why it cannot run.
pub(crate) fn send(
    request: Request,
    mounted: Option<&Mounted>,
    lane: Beside,
    errand: Arc<dyn Errand>,
    listener: Listener,
) -> Result<Aside, Refusal> {
    let (Some(worker), Some(mounted)) = (Worker::current(), mounted) else {
        report!(request, Error, SERVER_FAILED, "this process runs no handlers");
        return Err(Refusal::Stopping);
    };
    let application = worker.mounted(mounted);
    let mut variables = Fields::with_capacity(2, 64);
    variables.push(b"REQUEST_METHOD", request.method());
    variables.push(b"REQUEST_URI", request.unparsed_uri());
    let head = RequestHead { variables, errand: Some(errand), ..RequestHead::default() };
    let ticket = worker.next_ticket();
    let channel = Channel::new(ticket.number(), worker.notify(), Body::new(Vec::new()), ROOM);
    let exchange = Exchange::new(head, Arc::<Channel>::clone(&channel));
    let label = if listener.has_request { String::new() } else { stuck::label(request) };
    worker.note_aside(ticket, AsideNote::new(listener, request, label));
    let aside = Aside { ticket, application, exchange, channel, has_ended: false };
    aside.application.submit_aside(lane, &aside.exchange)?;
    Ok(aside)
}

impl Aside {
    /// Takes what there is.
    pub(crate) fn take(&mut self) -> Delivery {
        let delivery = self.channel.take();
        self.has_ended |= delivery.end.is_some();
        delivery
    }

    /// Says that so much has left memory.
    pub(crate) fn sent(&self, weight: usize) {
        self.channel.sent(weight);
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.has_ended {
            abandon(&self.application, &self.exchange, Cause::ClientGone);
        }
        if let Some(worker) = Worker::current() {
            worker.forget_aside(self.ticket);
        }
    }
}
