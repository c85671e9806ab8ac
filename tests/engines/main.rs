// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core with engines in C, compiled here: `good/` shows how to write one, `bad/` holds one broken engine per rule
//! of `include/gangway.h`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod asynchronous;
mod broken;
mod busy;
mod documented;
mod native;
mod phases;
mod queue;
mod request;
mod sockets;
mod statement;
mod stopping;
mod trace;
mod world;
