// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says of an application in processes of its own.

use std::{cell::OnceCell, sync::Arc, time::Instant};

use gangway::{
    config::{Command, Managed},
    log::{Line, Throttle},
    supervise::{ManagedPool, Trouble, refusals, segment::Segment},
};
use nginx_sys::ngx_int_t;

use super::processes;
use crate::raw::Request;

/// An application at a location.
pub(crate) struct Service {
    pub(super) managed: Managed,
    /// The path of the location for an application that is mounted there; `None` for a program, which runs scripts that the
    /// path names.
    pub(super) mount: Option<Vec<u8>>,
    /// Where its requests are counted.
    pub(super) counted: usize,
    pool: OnceCell<Option<ManagedPool>>,
    /// The number of `$request_id`, if the configuration uses it.
    request_id: OnceCell<Option<ngx_int_t>>,
    refusals: Throttle,
    in_vain: Throttle,
}

impl Service {
    pub(crate) fn new(managed: Managed, mount: Option<Vec<u8>>, counted: usize) -> Self {
        Self {
            managed,
            mount,
            counted,
            pool: OnceCell::new(),
            request_id: OnceCell::new(),
            refusals: Throttle::default(),
            in_vain: Throttle::default(),
        }
    }

    pub(crate) fn managed(&self) -> &Managed {
        &self.managed
    }

    /// Whether its processes run `gangway-host`.
    pub(super) fn is_hosted(&self) -> bool {
        matches!(self.managed.launch().command, Command::Host { .. })
    }

    /// Where its places are claimed. `None` in a process that serves nothing.
    pub(super) fn segment(&self) -> Option<&Arc<Segment>> {
        self.pool().map(|pool| &pool.segment)
    }

    fn pool(&self) -> Option<&ManagedPool> {
        self.pool.get_or_init(|| processes::pool(&self.managed)).as_ref()
    }

    /// Tells the supervisor that there is something to do.
    pub(super) fn demand(&self) {
        if let Some(pool) = self.pool() {
            processes::demand(pool.app);
        }
    }

    /// Tells the supervisor of a request that was not answered in time.
    pub(super) fn tell(&self, trouble: impl FnOnce(u32) -> Trouble) {
        if let Some(pool) = self.pool() {
            processes::tell(&trouble(pool.app));
        }
    }

    /// The id of a request that others know as well: they have it made, which costs something.
    pub(super) fn request_id(&self, request: Request) -> Option<Vec<u8>> {
        let index = self.request_id.get_or_init(|| request.used_variable(b"request_id"));
        index.map(|index| request.variable(index).to_vec())
    }

    /// What the log says of a request that is not let in, if it is to say something.
    pub(super) fn full_line(&self) -> Option<Line> {
        Some(refusals::full_line(&self.managed, self.refusals.pass(Instant::now())?))
    }

    /// What the log says of a request that asks for a WebSocket, if it is to say something.
    pub(super) fn no_sockets_line(&self, request: &Request) -> Option<Line> {
        let asks = refusals::asks_in_vain(&self.managed, request.headers());
        asks.then(|| self.in_vain.pass(Instant::now()))
            .flatten()
            .map(|held| refusals::no_sockets_line(&self.managed, held))
    }

    /// The same as [`Service::full_line`] for one that finds no process, and none that could be started.
    pub(super) fn down_line(&self) -> Option<Line> {
        Some(refusals::down_line(&self.managed, self.refusals.pass(Instant::now())?))
    }
}
