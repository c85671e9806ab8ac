// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications in Python that are loaded once and forked, by the tree of managed processes, without a web server.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod forks;
#[path = "../../../tests/managed/harness.rs"]
mod harness;
mod reload;
mod setup;
#[path = "../server/world.rs"]
mod world;
