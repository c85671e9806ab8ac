// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI of include/gangway.h as both halves of the Python engine see it: its types, the host's table
//! behind checked calls, borrowed bytes, response heads, the panic fence and the table of log codes.
//!
//! The two halves are shared objects of their own. Each links its own copy of this crate, so each has its own
//! idea of the host, set in its own handshake.

pub mod bytes;
pub mod codes;
pub mod fence;
pub mod ffi;
pub mod head;
pub mod host;
