// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request's connections.

use std::cell::{Cell, RefCell};

use gangway::contention::{Call, Calls};
use nginx_sys::ngx_recv_pt;

use crate::{
    raw::{Balancer, Connection, Timer, Upstream},
    upstream::address::Address,
};

/// Whether a request uses connections that were idle, and leaves its own for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) enum Keeping {
    #[default]
    Off,
    On,
    /// An idle connection has failed this request: no second one is tried.
    FreshOnly,
}

/// Whether the process that a connection stands for has not begun its request, and never will.
pub(crate) type Judge = fn(Connection) -> bool;

/// The wrapper's part of a request.
#[derive(Default)]
pub(in crate::upstream) struct Peer {
    /// The balancer that the wrapper stands before.
    pub(in crate::upstream) balancer: Cell<Option<Balancer>>,
    pub(in crate::upstream) keeping: Cell<Keeping>,
    pub(in crate::upstream) address: Cell<Option<Address>>,
    /// What is known of a connection that was kept.
    pub(in crate::upstream) reused: Cell<Reused>,
    /// What a connection that was kept reads with, while another function is in its place.
    pub(in crate::upstream) receive: Cell<ngx_recv_pt>,
    /// How often a fresh connection has been looked at that gives no answer.
    looks: Cell<u32>,
    /// Who knows whether a process has begun the request, where its connection does not show it.
    pub(in crate::upstream) judge: Cell<Option<Judge>>,
    /// Its call for the process that somebody's idle connection holds.
    call: Cell<Option<(Calls<'static>, Call)>>,
    waiting: RefCell<Option<Timer>>,
}

/// The idle connection that a request has taken.
#[derive(Clone, Copy, Default)]
pub(in crate::upstream) struct Reused {
    /// For how long it was idle, in milliseconds.
    pub(in crate::upstream) idle: u64,
    /// The address is one that is looked at before.
    pub(in crate::upstream) is_known: bool,
    /// Somebody waited on it for its next request.
    pub(in crate::upstream) was_awaited: bool,
    /// Something of the request has been read.
    pub(in crate::upstream) was_read: bool,
    /// The request is taken elsewhere, because nobody has read it.
    pub(in crate::upstream) is_left: bool,
}

impl Peer {
    /// The backend has answered.
    pub(in crate::upstream) fn answered(&self, upstream: Upstream) {
        self.stop_watch();
        if let Some(connection) = upstream.connection() {
            connection.log_errors();
        }
    }

    /// Lets a timer run, which `make` makes if there is none.
    pub(in crate::upstream) fn watch(&self, make: impl FnOnce() -> Timer, after: std::time::Duration) {
        self.waiting.borrow_mut().get_or_insert_with(make).set(after);
    }

    /// Lets the timer that there is run once more.
    pub(in crate::upstream) fn watch_on(&self, after: std::time::Duration) {
        if let Some(timer) = self.waiting.borrow_mut().as_mut() {
            timer.set(after);
        }
    }

    pub(in crate::upstream) fn stop_watch(&self) {
        self.waiting.replace(None);
        self.withdraw();
    }

    /// Somebody works for the request: it calls nobody.
    pub(in crate::upstream) fn withdraw(&self) {
        if let Some((calls, call)) = self.call.take() {
            calls.withdraw(call);
        }
    }

    /// Lets `make` call for a process, which gets the earlier call of this request.
    pub(in crate::upstream) fn call(
        &self,
        make: impl FnOnce(Option<Call>) -> Option<(Calls<'static>, Call)>,
    ) {
        let earlier = self.call.take().map(|(_, call)| call);
        self.call.set(make(earlier));
    }

    /// Begins to count the looks at a fresh connection.
    pub(in crate::upstream) fn begin_looks(&self) {
        self.looks.set(0);
    }

    /// Counts a look. Answers how many there were.
    pub(in crate::upstream) fn count_look(&self) -> u32 {
        self.looks.set(self.looks.get() + 1);
        self.looks.get()
    }

    pub(in crate::upstream) fn keeps(&self) -> bool {
        self.keeping.get() != Keeping::Off
    }

    /// Whether an idle connection may be tried.
    pub(in crate::upstream) fn takes_idle(&self) -> bool {
        self.keeping.get() == Keeping::On
    }

    /// The next attempt is not to meet a second connection that was idle.
    pub(in crate::upstream) fn wants_fresh(&self) {
        if self.keeps() {
            self.keeping.set(Keeping::FreshOnly);
        }
    }
}
