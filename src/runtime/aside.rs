// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs beside the requests of an application, on threads apart from theirs.

use std::sync::{Arc, Mutex};

use super::{Application, Lifecycle, fail};
use crate::{
    engine::App,
    error::THREADS_FAILED,
    exchange::Exchange,
    log::{self, Level},
    pool::{Pool, PoolLimits, Refusal},
    sys::lock,
};

/// Threads apart from those of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Filters. The thread of a request may wait until one has taken what it has written: on the same threads none could be left for it.
    Filters = 0,
    /// What comes after a response. Nobody waits for it, and it takes no thread from those who do.
    Afterwards = 1,
}

/// How much of [`Beside::Afterwards`] may wait.
const AFTERWARDS_MOST: usize = 1024;
/// As many filters wait as there are responses, each with one run: the server bounds those.
const FILTERS_MOST: usize = 1 << 20;

/// The pools of the lanes that are used. Their threads begin with the first request that needs them.
#[derive(Default)]
pub(super) struct BesidePools(Mutex<[Option<BesidePool>; 2]>);

struct BesidePool {
    pool: Arc<Pool>,
    is_open: bool,
}

impl BesidePools {
    fn pool(&self, lane: Beside, limits: PoolLimits, app: Option<&Arc<App>>) -> Result<Arc<Pool>, String> {
        let mut lanes = lock(&self.0);
        let [filters, afterwards] = &mut *lanes;
        let place = match lane {
            Beside::Filters => filters,
            Beside::Afterwards => afterwards,
        };
        let known =
            place.get_or_insert_with(|| BesidePool { pool: Arc::new(Pool::new(limits)), is_open: false });
        if let Some(app) = app {
            known.open(app)?;
        }
        Ok(Arc::clone(&known.pool))
    }

    /// The application is ready: what waits can begin.
    pub(super) fn open(&self, app: &Arc<App>) {
        for lane in lock(&self.0).iter_mut().flatten() {
            if let Err(reason) = lane.open(app) {
                log::coded(Level::Error, THREADS_FAILED, format_args!("{reason}"));
                lane.pool.clear().iter().for_each(|exchange| fail(exchange, &reason));
            }
        }
    }

    /// The application cannot be loaded.
    pub(super) fn fail(&self, reason: &str) {
        for lane in lock(&self.0).iter().flatten() {
            lane.pool.clear().iter().for_each(|exchange| fail(exchange, reason));
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Pool>> {
        lock(&self.0).iter().flatten().map(|lane| Arc::clone(&lane.pool)).collect()
    }
}

impl BesidePool {
    fn open(&mut self, app: &Arc<App>) -> Result<(), String> {
        if self.is_open {
            return Ok(());
        }
        self.pool.open(app, "gw-beside").map_err(|error| {
            format!("cannot start a thread: {error}; raise the limit of processes of the server's user")
        })?;
        self.is_open = true;
        Ok(())
    }
}

impl Application {
    /// Queues something that is no request of its own. While the application loads it waits.
    ///
    /// # Errors
    /// [`Refusal`], or the exchange is finished as failed when the application cannot be loaded.
    pub fn submit_aside(&self, lane: Beside, exchange: &Arc<Exchange>) -> Result<(), Refusal> {
        // Locked until it is in the queue: a load that fails meanwhile empties the queue afterwards.
        let state = lock(&self.state);
        let (app, reason) = match &*state {
            Lifecycle::Loading => (None, None),
            Lifecycle::Ready(app) => (Some(app), None),
            Lifecycle::Failed(reason) => (None, Some(reason.clone())),
            Lifecycle::Stopped => return Err(Refusal::Stopping),
        };
        let limits = match lane {
            Beside::Filters => {
                PoolLimits { threads: self.config.spec().threads as usize, queue: FILTERS_MOST }
            }
            Beside::Afterwards => PoolLimits { threads: 1, queue: AFTERWARDS_MOST },
        };
        let found = match reason {
            Some(reason) => Err(reason),
            None => self.lanes.pool(lane, limits, app),
        };
        match found {
            Ok(pool) => pool.submit(Arc::clone(exchange)),
            Err(reason) => {
                drop(state);
                fail(exchange, &reason);
                Ok(())
            }
        }
    }
}
