// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests whose handler was interrupted and does not end: their thread is lost, so the worker is replaced.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::raw::{self, Request};
use gangway::{
    engine::App,
    error::{RETIRED, STUCK},
    exchange::Exchange,
    log::{self, Level},
    runtime::Application,
};

/// How long an interrupted handler may take to end.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether it has ended.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One request past its deadline whose handler still runs.
pub(super) struct Stuck {
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    ticket: u64,
    label: String,
    since: Instant,
}

impl Stuck {
    /// A request that has just been interrupted, in words for the log.
    pub(super) fn new(
        application: &Arc<Application>,
        exchange: &Arc<Exchange>,
        ticket: u64,
        label: String,
    ) -> Self {
        Self {
            application: Arc::clone(application),
            exchange: Arc::clone(exchange),
            ticket,
            label,
            since: Instant::now(),
        }
    }

    /// The request in words, if it is the one with this ticket.
    pub(super) fn label_of(&self, ticket: u64) -> Option<&str> {
        (self.ticket == ticket).then_some(&self.label)
    }

    fn is_hopeless(&self) -> bool {
        self.since.elapsed() >= INTERRUPT_GRACE
    }

    fn give_up(&self) {
        let name = &self.application.config().spec().name;
        let loss = self.application.loss();
        let seconds = self.since.elapsed().as_secs();
        let text = format_args!("{name} still runs a request {seconds}s after {}, {}", loss.how, self.label);
        self.exchange.within(|| log::coded(Level::Error, STUCK, text));
        let outcome = if raw::quit_this_worker() {
            "this worker process shuts down gracefully and is replaced"
        } else {
            "without a master process it cannot be replaced: restart nginx"
        };
        log::coded(Level::Error, RETIRED, format_args!("{} of {name} is lost: {outcome}", loss.what));
    }
}

/// A request in words, for a line that is written when nginx has forgotten it.
pub(super) fn label(request: Request) -> String {
    let escape = log::escape;
    format!(
        "client: {}, request: \"{} {}\"",
        escape(request.remote_addr()),
        escape(request.method()),
        escape(request.unparsed_uri())
    )
}

/// Looks at all of them. Answers when to look again.
pub(super) fn look(list: &mut Vec<Stuck>) -> Option<Duration> {
    list.retain(|stuck| App::is_running(&stuck.exchange));
    list.retain(|stuck| {
        if stuck.is_hopeless() {
            stuck.give_up();
        }
        !stuck.is_hopeless()
    });
    (!list.is_empty()).then_some(LOOK_EVERY)
}
