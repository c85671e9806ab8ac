// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications in processes of their own: `gangway_spawn`, and `gangway_wsgi` with `processes=` or `user=`.
//!
//! ```text
//! service     what the configuration says of one, and the memory that it shares with the supervisor
//! processes   who runs the processes: for the master, and for a worker
//! handler     the content handler; then as gangway_pass: body, cache, buffers, filters
//! peer        in place of a balancer: a place of a process
//! exit        requests that keep a worker which shuts down
//! queue       requests of this worker that wait for a place
//! recorder    what is noted of a request, for who asks later why something went wrong
//! linger      processes that a request has left before they were done
//! lanes       requests that share a connection to a process
//! ```
//! A request has a place of a process before it connects to it, and whoever has none waits: the event loop never does.

mod exit;
mod handler;
mod lanes;
mod linger;
mod peer;
mod processes;
mod queue;
mod recorder;
mod service;

pub(crate) use handler::{content_handler, leave_files};
pub(crate) use peer::server_conf;
pub(crate) use processes::{Services, name_of, prepare, processes_of, start, untold_line, workers_user};
pub(crate) use service::Service;

/// At the end of a process.
pub(crate) fn stop() {
    exit::stop();
    queue::stop();
    linger::stop();
    lanes::stop();
}
