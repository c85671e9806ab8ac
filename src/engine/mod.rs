// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's side of `gangway.h`: opens engines, checks them, calls them, and answers their calls.

#![expect(unsafe_code, reason = "the C ABI")]

mod afterwards;
mod answers;
mod app;
mod beside;
mod calls;
mod catalogue;
mod content;
mod dynamic;
mod errand;
mod fence;
mod filter_errand;
mod filters;
mod finish;
mod health;
mod host;
mod lent;
mod library;
mod phases;
mod servers;
mod sockets;
mod statement;
mod transactions;
mod visit;

pub use afterwards::AfterErrand;
pub use app::{App, Spec};
pub use catalogue::{Catalogue, INSTALLED};
pub use content::ContentErrand;
pub use errand::{PhaseErrand, Transit};
pub use fence::fence;
pub use filter_errand::{FilterChain, FilterErrand, FilterOutcome};
pub use health::Health;
pub(crate) use library::own_directory;
pub use library::{Engine, EngineError, EntryFn};
pub use phases::{PhaseCall, PhaseState};
pub use servers::tell_servers;
pub use statement::{Interface, OptionDef, Target, Value};

#[cfg(test)]
mod tests;
