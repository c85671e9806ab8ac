// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of a CGI program (RFC 3875), as far as it can be thought without a process: which file is the script, what
//! it is told, what the spawner is asked, who waits for a place, how its standard error becomes lines.
//!
//! [`crate::sys::spawner`] does it.

mod environment;
mod habit;
mod line;
mod lines;
mod order;
mod report;
mod resolve;

pub use environment::{RunError, Words, words};
pub use habit::Habit;
pub use line::{Admission, Line};
pub use lines::Lines;
pub use order::{Command, Limits, Order, OrderError, Run, encode_kill};
pub use report::{Exit, Failure, News, Report, Step};
pub use resolve::{Found, Kind, Place, resolve};

/// A user that scripts run as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// As the configuration writes it.
    pub name: String,
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
    /// All groups.
    pub groups: Vec<u32>,
}
