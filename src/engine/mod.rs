// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's side of `gangway.h`: opens engines, checks them, calls them, and answers their calls.

#![expect(unsafe_code, reason = "the C ABI")]

mod app;
mod fence;
mod finish;
mod host;
mod library;

pub use app::{App, Spec};
pub use fence::fence;
pub use library::{Engine, EngineError, own_directory};

#[cfg(test)]
mod tests;
