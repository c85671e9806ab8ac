// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of the engine outside of any request.

use std::fmt;

use gangway_abi::{Level, host};

use crate::codes::Code;

/// A log line outside of any request: `GW03nn` and the text.
pub fn log(level: Level, code: Code, text: fmt::Arguments<'_>) {
    host::log(level, format_args!("{code} {text}"));
}
