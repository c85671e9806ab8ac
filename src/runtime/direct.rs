// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers that run on the threads of who calls.

use std::{sync::Arc, time::Instant};

use super::{Application, Lifecycle, count, fail};
use crate::{
    engine::fence,
    exchange::Exchange,
    pool::{Permit, Refusal},
    sys::lock,
};

impl Application {
    /// Runs the handler on the calling thread, when its turn comes.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn run(&self, exchange: &Arc<Exchange>, deadline: Option<Instant>) -> Result<(), Refusal> {
        self.run_if(exchange, deadline, || true).map(drop)
    }

    /// The same for a request that somebody may take back until it begins: `begins` is asked in the last moment, when the engine's
    /// lock has been waited for. Answers whether it was the application's.
    ///
    /// # Errors
    /// As [`Application::run`].
    pub fn run_if(
        &self,
        exchange: &Arc<Exchange>,
        deadline: Option<Instant>,
        begins: impl FnOnce() -> bool,
    ) -> Result<bool, Refusal> {
        let admitted = self.pool.admit(deadline).inspect_err(|refusal| count(exchange, *refusal));
        let mut permit: Permit<'_> = admitted?;
        let app = match &*lock(&self.state) {
            Lifecycle::Ready(app) => Some(Arc::clone(app)),
            Lifecycle::Failed(reason) => {
                fail(exchange, reason);
                None
            }
            Lifecycle::Loading | Lifecycle::Stopped => return Err(Refusal::Stopping),
        };
        let mut is_ours = true;
        if let Some(app) = app {
            app.enter();
            // A panic here would keep the engine's lock for ever.
            is_ours = fence("the beginning of a request", false, begins);
            if is_ours {
                exchange.begin(permit.begin());
                app.handle(exchange);
            }
            app.leave();
        }
        drop(permit);
        Ok(is_ours)
    }
}
