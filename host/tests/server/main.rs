// SPDX-License-Identifier: MIT OR Apache-2.0
//! gangway-host as a web server meets it: a process, a socket, FastCGI.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod ending;
mod faults;
mod lanes;
mod requests;
mod starting;
mod world;
