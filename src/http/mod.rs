// SPDX-License-Identifier: MIT OR Apache-2.0
//! Response heads as bytes, held to the rules for header names and values.

mod decimal;
mod fields;
mod head;
mod memory;

pub use decimal::Decimal;
pub use fields::{Fields, Layout};
pub(crate) use gangway_abi::head::parse_length;
/// The rules for names and values, which stand once for both sides of the C ABI.
pub use gangway_abi::head::{is_connection_field, is_field_name, is_field_value, is_named};
pub use head::{Head, HeadError, is_event_stream};
