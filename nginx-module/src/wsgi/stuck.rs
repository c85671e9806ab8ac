// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests whose handler was interrupted and does not end: their thread is lost, so the worker is replaced.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    engine::{App, fence},
    error::{RETIRED, STUCK},
    exchange::Exchange,
    log::Level,
    runtime::Application,
};
use nginx_sys::ngx_event_t;

use super::{in_flight::INTERRUPT_GRACE, worker::Worker};
use crate::raw;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One request past its deadline whose handler still runs.
pub(crate) struct Stuck {
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    ticket: u64,
    label: String,
    since: Instant,
}

impl Stuck {
    /// Looks after a request that has just been interrupted.
    pub(crate) fn watch(application: &Arc<Application>, exchange: &Arc<Exchange>, ticket: u64, label: &str) {
        let stuck = Self {
            application: Arc::clone(application),
            exchange: Arc::clone(exchange),
            ticket,
            label: label.to_owned(),
            since: Instant::now(),
        };
        if let Some(worker) = Worker::current() {
            worker.add_stuck(stuck, LOOK_EVERY);
        }
    }

    /// The request in words, if it is the one with this ticket.
    pub(crate) fn label_of(&self, ticket: u64) -> Option<&str> {
        (self.ticket == ticket).then_some(&self.label)
    }

    fn is_hopeless(&self) -> bool {
        self.since.elapsed() >= INTERRUPT_GRACE
    }

    fn give_up(&self) {
        let name = &self.application.config().spec().name;
        let seconds = self.since.elapsed().as_secs();
        raw::process_log(
            Level::Error,
            &format!(
                "{STUCK} {name} still runs a request {seconds}s after it was interrupted; its thread is lost, {}",
                self.label
            ),
        );
        let outcome = if raw::quit_this_worker() {
            "this worker process shuts down gracefully and is replaced"
        } else {
            "without a master process it cannot be replaced: restart nginx"
        };
        raw::process_log(Level::Error, &format!("{RETIRED} a thread of {name} is lost: {outcome}"));
    }
}

/// Looks at all of them.
pub(crate) unsafe extern "C" fn on_look(_: *mut ngx_event_t) {
    fence("on_look", (), || {
        let Some(worker) = Worker::current() else { return };
        worker.with_stuck(|list| {
            list.retain(|stuck| App::is_running(&stuck.exchange));
            list.retain(|stuck| {
                if stuck.is_hopeless() {
                    stuck.give_up();
                }
                !stuck.is_hopeless()
            });
            (!list.is_empty()).then_some(LOOK_EVERY)
        });
    });
}
