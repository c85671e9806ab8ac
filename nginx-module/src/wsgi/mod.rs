// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_wsgi`: applications in this process, on threads of the core.
//!
//! ```text
//! mounted     what the configuration says of applications
//! handler     the content phase: from nginx's request to a queued exchange
//! body        the request body that nginx has read; feed: one that comes in while its handler runs
//! errand       handlers of phases, in the place of an application's own
//! aside       handlers that run beside requests; listener: who waits for them
//! in_flight   one running request: what its handler sends, its deadline, its end
//! socket      a WebSocket: bytes from the client and to it
//! stuck       requests whose handler does not end when it is interrupted
//! worker      the applications of this process and its requests by ticket
//! event_loop  what wakes them: output of an application, the client, time
//! ```
//! Pool threads never touch nginx memory: they have the exchange, which owns all that it needs.

mod aside;
mod body;
mod errand;
mod event_loop;
mod feed;
mod handler;
mod hooks;
mod in_flight;
mod listener;
mod mounted;
mod socket;
mod stuck;
mod worker;

pub(crate) use aside::{Aside, send as send_aside};
pub(crate) use errand::run as run_errand;
pub(crate) use event_loop::{start, stop};
pub(crate) use handler::{begin, content_handler};
pub(crate) use hooks::ErrandHooks;
pub(crate) use listener::Listener;
pub(crate) use mounted::{Applications, Mounted, warn_of_closed_folders};
