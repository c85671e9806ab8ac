// SPDX-License-Identifier: MIT OR Apache-2.0
//! Phases of requests, on the server's threads.

use std::sync::Arc;

use super::{Application, Lifecycle};
use crate::{
    engine::{App, PhaseCall, PhaseState},
    error::LOAD_FAILED,
    log::Level,
    phases::{PhaseAnswer, Transaction},
    pool::{Permit, Refusal},
    sys::lock,
};

impl Application {
    /// Runs the handlers of a phase on the calling thread, when its turn comes. `None`: they could not be run, and the log says why.
    ///
    /// `nested`: the thread runs a handler already, which waits for this one. It has a permit, and nobody must wait for another.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn run_phase(
        &self,
        nested: bool,
        transaction: &dyn Transaction,
        call: &PhaseCall<'_>,
        state: &PhaseState,
    ) -> Result<Option<PhaseAnswer>, Refusal> {
        if nested {
            let app = self.ready_for(transaction)?;
            return Ok(app.and_then(|app| app.run_phase(transaction, call, state)));
        }
        let mut permit: Permit<'_> = self.pool.admit(None)?;
        let Some(app) = self.ready_for(transaction)? else { return Ok(None) };
        app.enter();
        permit.begin();
        let verdict = app.run_phase(transaction, call, state);
        app.leave();
        drop(permit);
        Ok(verdict)
    }

    fn ready_for(&self, transaction: &dyn Transaction) -> Result<Option<Arc<App>>, Refusal> {
        match &*lock(&self.state) {
            Lifecycle::Ready(app) => Ok(Some(Arc::clone(app))),
            Lifecycle::Failed(reason) => {
                let line = format!("{LOAD_FAILED} the handlers could not be loaded: {reason}");
                transaction.facts().log(Level::Error, &line);
                Ok(None)
            }
            Lifecycle::Loading | Lifecycle::Stopped => Err(Refusal::Stopping),
        }
    }
}
