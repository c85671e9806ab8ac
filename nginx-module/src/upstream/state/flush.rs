// SPDX-License-Identifier: MIT OR Apache-2.0
//! The timer that hands on what waits for more of it.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use nginx_sys::{ngx_msec_t, ngx_recv_chain_pt};

use crate::raw::{Connection, Timer};

/// For how long bytes may wait for more of them that come again and again.
const PATIENCE: ngx_msec_t = 50;

/// The timer of one response.
#[derive(Default)]
pub(in crate::upstream) struct Flush {
    wait: Cell<ngx_msec_t>,
    /// When the timer was started by a read, and when it was last moved, as ngx_current_msec.
    since: Cell<ngx_msec_t>,
    last: Cell<ngx_msec_t>,
    /// What the connection reads with, while another function is in its place.
    receive: Cell<ngx_recv_chain_pt>,
    timer: RefCell<Option<Timer>>,
    /// The filter is called because of the timer.
    now: Cell<bool>,
}

impl Flush {
    /// Watches the reads from a backend whose response is buffered by `receive`. A cached response has no connection.
    pub(in crate::upstream) fn begin(
        &self,
        connection: Option<Connection>,
        receive: ngx_recv_chain_pt,
        wait: ngx_msec_t,
    ) {
        self.wait.set(wait);
        if let Some(connection) = connection
            && self.receive.get().is_none()
        {
            self.receive.set(connection.chain_receiver());
            connection.set_chain_receiver(receive);
        }
    }

    /// What the connection read with before.
    pub(in crate::upstream) fn receiver(&self) -> ngx_recv_chain_pt {
        self.receive.get()
    }

    /// Ends the watch: the connection may be closed or kept for another request.
    pub(in crate::upstream) fn stop(&self, connection: Option<Connection>) {
        self.timer.replace(None);
        if let Some(receive) = self.receive.take()
            && let Some(connection) = connection
        {
            connection.set_chain_receiver(Some(receive));
        }
    }

    /// Hands on what is there, unless more comes soon. `make` makes the timer.
    pub(in crate::upstream) fn start_timer(&self, now: ngx_msec_t, make: impl FnOnce() -> Timer) {
        let mut timer = self.timer.borrow_mut();
        let timer = timer.get_or_insert_with(make);
        if !timer.is_set() {
            self.since.set(now);
        } else if now == self.last.get() {
            return;
        }
        self.last.set(now);
        // A timer that is moved costs less than one that wakes the worker too early.
        timer.stop();
        timer.set(due(self.wait.get(), now.wrapping_sub(self.since.get())));
    }

    /// The buffers are full: nothing waits to be handed on.
    pub(in crate::upstream) fn stop_timer(&self) {
        if let Some(timer) = self.timer.borrow_mut().as_mut() {
            timer.stop();
        }
    }

    /// Calls the filter in such a way that nothing holds the bytes back.
    pub(in crate::upstream) fn at_once<R>(&self, filter: impl FnOnce() -> R) -> R {
        self.now.set(true);
        let result = filter();
        self.now.set(false);
        result
    }

    /// Whether the filter is called because of the timer.
    pub(in crate::upstream) fn is_now(&self) -> bool {
        self.now.get()
    }
}

/// How long bytes wait from now on of which the first came so many milliseconds ago.
fn due(wait: ngx_msec_t, waited: ngx_msec_t) -> Duration {
    let patience = PATIENCE.max(wait).saturating_sub(waited);
    Duration::from_millis(wait.min(patience) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_come_again_and_again_do_not_wait_for_longer_than_patience() {
        for (wait, waited, left) in [(5, 0, 5), (5, 44, 5), (5, 48, 2), (5, 60, 0), (80, 0, 80), (80, 70, 10)]
        {
            assert_eq!(due(wait, waited), Duration::from_millis(left), "{wait} {waited}");
        }
    }
}
