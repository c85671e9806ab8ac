// SPDX-License-Identifier: MIT OR Apache-2.0
//! The httpd module of Gangway: httpd's types to the core's and back.
//!
//! ```text
//! directives -> config          (parent and child)
//! child_init -> lifecycle       the applications of this process, to its end
//! request    -> claim           which requests are an application's, and where it is mounted
//!            -> handler         the exchange: variables, body length, refusals
//!               -> direct       without timeout=: this thread runs the handler itself
//!               -> relay        with timeout=: a pool thread runs it, this one passes on and looks at the clock
//!                  -> reply     what a handler gave to what httpd sends
//!            -> managed        applications in processes of their own
//!            -> cgi            scripts instead of applications
//! raw/                          httpd memory
//! ```

#![deny(unsafe_code)]

mod applications;
mod body;
mod cgi;
mod claim;
mod config;
mod cork;
mod direct;
mod directives;
mod ending;
mod handler;
mod hooks;
mod lifecycle;
mod managed;
mod mount;
mod probe;
mod raw;
mod relay;
mod reply;
mod section;
mod stuck;
mod variables;

pub use hooks::gangway_module;
