// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said of an event loop.

/// The options of this interface.
#[derive(Clone, Debug)]
pub(crate) struct LoopOptions {
    /// `asyncio`, `uvloop` or `auto`.
    pub(crate) kind: String,
    /// `on`, `off` or `auto`.
    pub(crate) lifespan: String,
}
