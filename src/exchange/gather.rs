// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that answers several requests in one turn wakes each event loop once for all of them.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Notify;

/// For how long what has been gathered waits while more of it comes.
pub(super) const GATHERED_MOST: Duration = Duration::from_micros(200);

thread_local! {
    static GATHERED: RefCell<Gathered> = const { RefCell::new(Gathered { is_on: false, since: None, whom: Vec::new() }) };
}

/// What this thread has posted and not told yet.
struct Gathered {
    is_on: bool,
    /// When the first event of those that wait came.
    since: Option<Instant>,
    whom: Vec<Arc<dyn Notify>>,
}

/// From now on this thread gathers what it posts; or it tells what it has, and posts at once again. What it posts at its end is
/// posted at once.
pub(crate) fn gather(is_on: bool) {
    let _ended = GATHERED.try_with(|gathered| {
        let mut gathered = gathered.borrow_mut();
        gathered.is_on = is_on;
        gathered.tell();
    });
}

/// Posts a ticket: at once, or with what follows in this turn.
pub(super) fn post(notify: &Arc<dyn Notify>, ticket: u64) {
    let is_gathered = GATHERED.try_with(|gathered| {
        let mut gathered = gathered.borrow_mut();
        let is_on = gathered.is_on;
        if is_on {
            gathered.post(notify, ticket);
        }
        is_on
    });
    if is_gathered != Ok(true) {
        notify.post(ticket);
    }
}

impl Gathered {
    fn post(&mut self, notify: &Arc<dyn Notify>, ticket: u64) {
        let now = Instant::now();
        // Telling one twice is of no harm: only the one before is looked at.
        if notify.post_gathered(ticket, now)
            && !self.whom.last().is_some_and(|known| Arc::ptr_eq(known, notify))
        {
            self.whom.push(Arc::clone(notify));
        }
        if now.duration_since(*self.since.get_or_insert(now)) >= GATHERED_MOST {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.since = None;
        for notify in self.whom.drain(..) {
            notify.tell();
        }
    }
}
