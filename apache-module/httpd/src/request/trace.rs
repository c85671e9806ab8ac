// SPDX-License-Identifier: MIT OR Apache-2.0
//! The span of a request that a backend or a script answers, on the thread that has the request.

use std::ffi::c_int;

use gangway::{
    log::{Level, RequestLog},
    trace::{self, Answerer, Trace},
};

use super::Request;
use crate::module::Module;

impl<M: Module> Request<'_, M> {
    /// Lets `act` serve the request, which answers what httpd's handlers answer. Where somebody observes the request that
    /// is done in its span.
    pub fn observed(self, answerer: Answerer, act: impl FnOnce(Option<&Trace>) -> c_int) -> c_int {
        let trace = Trace::open(self.takes(Level::Debug), answerer);
        let status = trace::within(trace.as_deref(), || act(trace.as_deref()));
        if let Some(trace) = &trace {
            // OK and its kin say that the response is what the request says now.
            let instead = u16::try_from(status).ok().filter(|status| *status >= 400);
            trace.end(instead.or_else(|| self.status()), &self);
        }
        status
    }
}
