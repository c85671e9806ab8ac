// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_cgi`: programs on nginx's upstream, whose output stands as an SCGI backend's does.
//!
//! ```text
//! programs    what the configuration says of them
//! spawner     the process that starts scripts
//! target      which file a request runs
//! handler     that file; then as gangway_pass: body, cache, buffers, filters
//! peer        in place of a balancer; stdin: the request body as a script gets it
//! run         the request's part of it, with the script's ticket
//! scripts     who runs and who waits in this worker, what the helper reports, what `gangway::run::ScriptLife` asks for
//! script      one script with its pipes
//! connection  what nginx takes for the script's connection
//! ```
//! The event loop never waits: a helper process starts the scripts (see `gangway::sys::spawner`).

mod connection;
mod handler;
mod peer;
mod programs;
mod run;
mod script;
mod scripts;
mod spawner;
mod stdin;
mod target;

pub(crate) use handler::content_handler;
pub(crate) use peer::server_conf;
pub(crate) use programs::{AllSettings, Programs};
pub(crate) use scripts::stop;
pub(crate) use spawner::start_spawner;
