// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requests of one connection.

use std::sync::{Arc, Mutex};

use gangway::{
    exchange::{Cause, Exchange},
    supervise::begun::BegunWords,
    sys::lock,
};
use rustc_hash::FxHashMap;

use super::incoming::LaneIncoming;
use crate::{
    connection::Connection,
    outgoing::{Outgoing, Sent},
    sys::{Epoll, Readiness},
};

/// So many bytes wait for no others: they are read meanwhile.
const MUCH: usize = 64 * 1024;

/// What a response waits for.
pub(crate) trait Granted: Send + Sync {
    /// The worker has room for so many bytes more.
    fn grant(&self, bytes: u32);
}

pub(crate) struct LaneTable {
    connection: Arc<Connection>,
    incoming: Mutex<LaneIncoming>,
    running: Mutex<FxHashMap<u16, Lane>>,
    /// Where the worker sees which requests have been begun.
    words: Option<BegunWords>,
    epoll: Arc<Epoll>,
}

struct Lane {
    port: Arc<dyn Granted>,
    exchange: Arc<Exchange>,
}

impl LaneTable {
    pub(crate) fn new(connection: &Arc<Connection>, epoll: &Arc<Epoll>) -> Self {
        Self {
            connection: Arc::clone(connection),
            incoming: Mutex::new(LaneIncoming::new()),
            running: Mutex::default(),
            words: connection.take_words(),
            epoll: Arc::clone(epoll),
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn incoming(&self) -> &Mutex<LaneIncoming> {
        &self.incoming
    }

    /// Whether a handler may begin a request: the worker may have given it to another process.
    pub(super) fn may_begin(&self, id: u16) -> bool {
        self.words.as_ref().is_none_or(|words| words.begin(id))
    }

    /// A request begins.
    pub(crate) fn begin(&self, id: u16, port: Arc<dyn Granted>, exchange: &Arc<Exchange>) {
        let lane = Lane { port, exchange: Arc::clone(exchange) };
        lock(&self.running).insert(id, lane);
    }

    /// The request has its end. Before that is sent: the number may then be another one's.
    pub(super) fn end(&self, id: u16) {
        lock(&self.incoming).end(id);
        let ended = lock(&self.running).remove(&id);
        drop(ended);
    }

    pub(crate) fn port(&self, id: u16) -> Option<Arc<dyn Granted>> {
        lock(&self.running).get(&id).map(|lane| Arc::clone(&lane.port))
    }

    /// Nobody waits for the response of a request that was handed over. One whose end has been given meanwhile gets no other: the worker may
    /// have given its number to another request.
    pub(crate) fn abort(&self, id: u16) {
        // Not under the lock: to cancel is to call the port.
        let exchange = lock(&self.running).get(&id).map(|lane| Arc::clone(&lane.exchange));
        if let Some(exchange) = exchange {
            exchange.cancel(Cause::ClientGone);
        }
    }

    /// Stops all that run, wait, or have not been sent wholly.
    pub(crate) fn cancel(&self, cause: Cause) {
        // Not under the lock: to cancel is to call the port.
        let all: Vec<_> = lock(&self.running).values().map(|lane| Arc::clone(&lane.exchange)).collect();
        all.iter().for_each(|exchange| exchange.cancel(cause));
    }

    /// Whether no request is under way, no record has begun, and nothing waits to leave.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.running).is_empty()
            && lock(&self.incoming).is_idle()
            && lock(self.connection.outgoing()).is_empty()
    }

    /// Adds to what leaves. Unless it is `late`, all that there is leaves now, as far as there is room. What is much waits for nothing.
    /// Answers whether it waits for somebody who sends it.
    pub(crate) fn post(&self, more: Outgoing, late: bool) -> bool {
        let mut outgoing = lock(self.connection.outgoing());
        outgoing.append(more);
        if outgoing.is_blocked() {
            return false;
        }
        if late && outgoing.len() < MUCH {
            return true;
        }
        self.send_now(&mut outgoing);
        false
    }

    /// There may be room for what has waited. Answers whether the connection is whole.
    pub(crate) fn unblock(&self) -> bool {
        let mut outgoing = lock(self.connection.outgoing());
        if !outgoing.is_blocked() {
            return true;
        }
        match outgoing.send(&*self.connection) {
            Ok(Sent::Blocked) => true,
            Ok(Sent::All) => {
                outgoing.reuse();
                self.epoll.change(&*self.connection, Readiness::Arrivals, self.connection.token()).is_ok()
            }
            Err(_broken) => false,
        }
    }

    /// The connection is closed. Who still runs a handler keeps what that needs.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *lock(&self.running));
        all.values().for_each(|lane| lane.exchange.cancel(Cause::ClientGone));
    }

    /// Sends what was late.
    pub(crate) fn send(&self) {
        let mut outgoing = lock(self.connection.outgoing());
        if !outgoing.is_empty() && !outgoing.is_blocked() {
            self.send_now(&mut outgoing);
        }
    }

    fn send_now(&self, outgoing: &mut Outgoing) {
        match outgoing.send(&*self.connection) {
            Ok(Sent::All) => outgoing.reuse(),
            Ok(Sent::Blocked) => {
                outgoing.set_blocked();
                if self.epoll.change(&*self.connection, Readiness::Both, self.connection.token()).is_err() {
                    self.connection.shut();
                }
            }
            // The event of its end is told to some thread, which ends all that runs for it.
            Err(_broken) => self.connection.shut(),
        }
    }
}
