// SPDX-License-Identifier: MIT OR Apache-2.0
//! WebSockets of applications in this process.
//!
//! ```text
//! offer       whether a request asks for one, and who would serve it
//! places      how many threads of httpd may do so
//! notices     what the handler has for whoever serves the request
//! accepted    one WebSocket: its handler, what passes between that and its connection, its end
//! event_loop  those of the event MPM, without a thread for each
//! thread      one that a thread of httpd serves until its end
//! ```

mod accepted;
mod event_loop;
mod notices;
mod offer;
mod places;
mod thread;

pub(crate) use accepted::{AcceptedSocket, HandlerSide, label};
pub(crate) use event_loop::{start, stop, suspended};
pub(crate) use notices::Notices;
pub(crate) use places::prepare;
pub(crate) use thread::end_alone;

use std::ffi::c_int;

use gangway::config::ApplicationConf;

use crate::raw::{self, Request, Upgraded};
use offer::Asked;

/// Whether a WebSocket of this request would hold no thread.
fn can_suspend(request: Request<'_>) -> bool {
    event_loop::is_there() && raw::can_suspend(request)
}

/// What a request asks for, if it is a WebSocket that its application may have.
///
/// # Errors
/// The status of the answer to a request that asks wrongly, or for which there is no place.
pub(crate) fn offer(request: Request<'_>, config: &ApplicationConf) -> Result<Option<Asked>, c_int> {
    offer::offer(request, config, !can_suspend(request))
}

/// Serves a WebSocket whose handler has accepted it. Answers what httpd's handler answers.
pub(crate) fn serve((accepted, upgraded): (AcceptedSocket, Upgraded<'_>)) -> c_int {
    let request = upgraded.request();
    // httpd closes an aborted connection itself.
    if can_suspend(request) && !request.is_aborted() {
        event_loop::suspend(accepted, upgraded)
    } else {
        thread::run(accepted, upgraded)
    }
}
