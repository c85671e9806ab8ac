// SPDX-License-Identifier: MIT OR Apache-2.0
//! The httpd module of Gangway: httpd's types to the core's and back.
//!
//! ```text
//! directives -> config          (parent and child); the kinds of handlers, which say what they do with a process
//! request    -> claim           which requests are ours, and which kind serves them
//!               -> wsgi         applications in this process
//!                  -> socket    their WebSockets
//!               -> managed      applications in processes of their own
//!               -> cgi          scripts instead of applications
//!               -> status       how all of them do
//!            -> phases          handlers of mod_python's, in the phases of a request
//!                  -> counting  where their requests are counted
//!                  -> body, variables, mount, reply   from httpd's request, and back
//! raw/                          httpd memory
//! ```

#![deny(unsafe_code)]

mod body;
mod cgi;
mod claim;
mod config;
mod counting;
mod directives;
mod hooks;
mod managed;
mod mount;
mod phase_conf;
mod phases;
mod raw;
mod reply;
mod section;
mod socket;
mod status;
mod variables;
mod wsgi;

pub use hooks::gangway_module;
