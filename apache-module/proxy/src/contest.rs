// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backend of few processes that is silent: it may be silent because somebody's idle connection holds the process that
//! this request waits for.

use std::time::Duration;

use gangway::backends::BackendRecord;
use gangway_httpd::transfer::{SilenceWatch, Wire};

use crate::keep::{self, Key, Waiting};

/// A request on a new connection that has had no answer at the first pause may wait for idle connections of
/// others. It says so then, and so often while it waits, unless the kernel knows that nobody waits to be served.
const CALLS_EACH: Duration = Duration::from_millis(50);
/// How soon it says so again at first, and then after as long as it has waited: processes that were at work come back.
const CALLS_AGAIN: Duration = Duration::from_millis(5);
/// A request on a connection that was idle has been read by then, or its process works for an earlier one.
const UNREAD: Duration = Duration::from_millis(50);

/// One request that waits for a backend of this key.
pub(crate) struct Contest<'k> {
    /// For one on a new connection.
    key: Option<&'k Key>,
    /// For one on a connection that was idle, until it has been looked at.
    unread: Option<BackendRecord<'static>>,
    waiting: Waiting,
}

impl<'k> Contest<'k> {
    /// One that begins to wait on a connection.
    pub(crate) fn begin(key: Option<&'k Key>, wire: &Wire) -> Self {
        let unread = key.filter(|_| wire.is_reused()).and_then(Key::record);
        Self {
            key: key.filter(|_| !wire.is_reused()),
            unread: unread.filter(|record| !record.is_lazy() && !record.is_blind()),
            waiting: Waiting::begin(),
        }
    }
}

impl SilenceWatch for Contest<'_> {
    fn limit(&mut self, wire: &Wire, elapsed: Duration, sent: u64) -> Option<Duration> {
        if let Some(key) = self.key {
            if wire.may_wait(key.is_unix(), elapsed < CALLS_EACH, sent) {
                self.waiting.call(key);
                return Some(elapsed.clamp(CALLS_AGAIN, CALLS_EACH));
            }
            self.waiting.end();
            return Some(CALLS_EACH);
        }
        self.unread.map(|_| UNREAD)
    }

    fn leaves(&mut self, wire: &Wire, elapsed: Duration, sent: u64, may_leave: bool) -> bool {
        let Some(record) = self.unread.take_if(|_| elapsed >= UNREAD) else { return false };
        if !wire.is_unread(sent) {
            return false;
        }
        record.was_late(keep::now());
        may_leave
    }
}
