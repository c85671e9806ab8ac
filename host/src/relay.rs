// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request of an application that answers later: a thread of this process holds it meanwhile, passes on what the application gives, and
//! reads the body when that is wanted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    error::BODY_FAILED,
    exchange::{
        Body, Cause, Channel, Delivery, Exchange, Mailbox, ROOM, RelayedPort, RequestHead, ServerSide, Stop,
        Wait,
    },
    log::Level,
    pool::Refusal,
    runtime::Application,
};

use crate::port::RequestPort;

/// Nothing of an application runs on the threads that hold its requests.
pub(crate) const STACK: usize = 1024 * 1024;

/// Body bytes that are read at a time.
const PART: usize = 32 * 1024;
/// How often it is looked whether the client is still there, and whether more of a body has come for which an application waits.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const READ_EVERY: Duration = Duration::from_millis(10);
/// How long a web server may send no byte of a body.
const PEER_SILENCE: Duration = Duration::from_secs(60);

/// What stands between the application and the port of its request.
pub(crate) struct Relay {
    channel: Arc<Channel>,
    mailbox: Arc<Mailbox>,
}

/// What the application's port meets of the web server.
struct WebServer(Arc<dyn RequestPort>);

impl Relay {
    /// The exchange of a request, and its relay.
    pub(crate) fn open(head: RequestHead, port: &Arc<dyn RequestPort>) -> (Arc<Exchange>, Arc<Self>) {
        let mailbox = Arc::new(Mailbox::default());
        let notify = Arc::<Mailbox>::clone(&mailbox);
        let channel = if head.content_length == Some(0) {
            Channel::new(0, notify, Body::default(), ROOM)
        } else {
            Channel::fed(0, notify, ROOM)
        };
        let relayed = RelayedPort { channel: Arc::clone(&channel), server: WebServer(Arc::clone(port)) };
        (Exchange::new(head, Arc::new(relayed)), Arc::new(Self { channel, mailbox }))
    }

    /// Has the application answer, and waits for its end.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn run(
        &self,
        application: &Arc<Application>,
        exchange: &Arc<Exchange>,
        port: &dyn RequestPort,
    ) -> Result<(), Refusal> {
        application.submit(exchange)?;
        // Since when bytes of the body are waited for.
        let mut waits: Option<Instant> = None;
        loop {
            let (posted, _) = self
                .mailbox
                .wait(Some(Instant::now() + if waits.is_some() { READ_EVERY } else { LOOK_EVERY }));
            if posted {
                let delivery = self.channel.take();
                if self.pass_on(exchange, port, delivery) {
                    return Ok(());
                }
                if waits.is_none() && self.channel.wants_body() {
                    waits = Some(Instant::now());
                }
            }
            if let Some(since) = waits
                && self.feed(exchange, port, since)
            {
                waits = None;
            }
            if exchange.cancelled().is_none() && port.client_gone() {
                // The application is told, and ends the request.
                exchange.cancel(Cause::ClientGone);
            }
        }
    }

    /// Gives the web server what the application has given. Answers whether that was the end.
    fn pass_on(&self, exchange: &Exchange, port: &dyn RequestPort, delivery: Delivery) -> bool {
        let (ends, weight) = (delivery.end.is_some(), delivery.weight());
        if !ends && !delivery.has_output() {
            return false;
        }
        match port.deliver(delivery) {
            Ok(()) => self.channel.sent(weight),
            Err(_gone) if exchange.cancelled().is_none() => exchange.cancel(Cause::ClientGone),
            Err(_gone) => {}
        }
        ends
    }

    /// Reads what has come of the body. Answers whether the application need not wait any more.
    fn feed(&self, exchange: &Exchange, port: &dyn RequestPort, since: Instant) -> bool {
        let mut part = [0; PART];
        match port.read_body(&mut part, Wait::No) {
            Ok(0) => self.channel.end_body(true),
            Ok(count) => self.channel.feed(part.get(..count).unwrap_or_default()),
            Err(Stop::Again) if since.elapsed() < PEER_SILENCE => {
                port.clock().pause();
                return false;
            }
            Err(Stop::Again) => {
                let text =
                    format!("{BODY_FAILED} cannot read the request body: the web server sends no more of it");
                port.log(Level::Info, &text);
                self.channel.end_body(false);
            }
            Err(Stop::Cancelled) => exchange.cancel(Cause::ClientGone),
            Err(_) => self.channel.end_body(false),
        }
        port.clock().restart();
        true
    }
}

impl ServerSide for WebServer {
    fn log(&self, _: &Channel, level: Level, line: &str) {
        self.0.log(level, line);
    }

    fn client_gone(&self) -> bool {
        self.0.client_gone()
    }

    fn cancel(&self) {
        self.0.cancel();
    }
}
