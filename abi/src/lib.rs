// SPDX-License-Identifier: MIT OR Apache-2.0
//! What both sides of the C ABI `include/gangway.h` need, once: its types as generated ([`ffi`]), bytes on their
//! way through it ([`bytes`]), levels of log lines ([`Level`]), the place where a panic stops ([`fence`]), and
//! the rules for response heads ([`head`]). An engine in Rust also has its tables ([`constant`]) and its side of the
//! handshake here ([`host`]).
//!
//! A leaf: it names nothing of the core, of a server or of a language. The header is the contract; an engine may
//! do without this crate, as those in C do. Each shared object links its own copy, so each has its own idea of
//! the host.

pub mod bytes;
pub mod constant;
pub mod fence;
pub mod ffi;
pub mod head;
pub mod host;
mod level;

pub use level::Level;
