// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_cgi`: programs on nginx's upstream, whose output stands as an SCGI backend's does.
//!
//! ```text
//! spawner   the process that starts scripts
//! target    which file a request runs
//! handler   that file; then as gangway_pass: body, cache, buffers, filters
//! peer      in place of a connection: a script with its pipes, which nginx reads and writes
//! places    who runs and who waits in this worker, and what the helper says
//! script    one script, from its order to its end, with its standard error
//! stdin     the request body as a script gets it
//! ```
//! The event loop never waits: a helper process starts the scripts (see `gangway::sys::spawner`).

mod handler;
mod peer;
mod places;
mod script;
mod spawner;
mod stdin;
mod target;

pub(crate) use handler::content_handler;
pub(crate) use peer::server_conf;
pub(crate) use places::stop;
pub(crate) use spawner::start_spawner;
