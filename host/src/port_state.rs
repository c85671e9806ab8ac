// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a port knows of its request, whatever its connection is: the exchange that it is served by, and whether the web server still waits.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gangway::exchange::{Cause, Exchange, Stop};

#[derive(Default)]
pub(crate) struct PortState {
    exchange: OnceLock<Weak<Exchange>>,
    gone: AtomicBool,
}

impl PortState {
    /// Once, before the request is served.
    pub(crate) fn set_exchange(&self, exchange: &Arc<Exchange>) {
        // It is told once.
        let _ = self.exchange.set(Arc::downgrade(exchange));
    }

    fn exchange(&self) -> Option<Arc<Exchange>> {
        self.exchange.get().and_then(Weak::upgrade)
    }

    /// The request in words, for lines of the log.
    pub(crate) fn label(&self) -> String {
        self.exchange().map_or_else(|| "a request that is over".into(), |exchange| exchange.label())
    }

    /// Why it was cancelled, if it was.
    pub(crate) fn cancelled(&self) -> Option<Cause> {
        self.exchange().and_then(|exchange| exchange.cancelled())
    }

    /// Whether nobody waits for the response any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    pub(crate) fn live(&self) -> Result<(), Stop> {
        if self.is_gone() { Err(Stop::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn set_gone(&self) -> Stop {
        self.gone.store(true, Relaxed);
        Stop::Cancelled
    }
}
