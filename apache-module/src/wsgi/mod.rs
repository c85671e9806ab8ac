// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications in this process.
//!
//! ```text
//! child_init -> process      its applications, to its end; ending: how it ends when a handler hangs
//! handler    -> handler      the exchange: variables, body length, refusals
//!               -> direct    without timeout=: this thread runs the handler itself
//!               -> relay     with timeout=: a pool thread runs it, this one passes on and looks at the clock
//! ```

mod applications;
mod cork;
mod direct;
mod ending;
mod handler;
mod probe;
mod process;
mod relay;
mod stuck;

use std::ffi::CStr;

pub(crate) use applications::{Configured, application, check, configured, warnings};
pub(crate) use handler::serve;
pub(crate) use process::{inside, is_inside, prepare, start};

/// The name of the handler of applications, here and in processes of their own.
pub(crate) const HANDLER: &CStr = c"gangway-wsgi";
