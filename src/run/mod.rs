// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of a CGI program (RFC 3875), as far as it can be thought without a process: which file is the script, what
//! it is told, who waits for a place, how its standard error becomes lines.
//!
//! [`crate::sys::spawner`] does it.

mod environment;
mod habit;
mod line;
mod lines;
mod resolve;

pub use environment::{RunError, Words, words};
pub use habit::Habit;
pub use line::{Admission, Line};
pub use lines::Lines;
pub use resolve::{Found, Kind, Place, resolve};
