// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of a CGI program (RFC 3875), as far as it can be thought without a process: which file is the script, what
//! it is told, and its life from its beginning to the end of the last that others hold open.
//!
//! ```text
//! resolve      which file of a path is the script
//! environment  its words and variables; request: all that the spawner must know of it
//! messages     the lines of the log that belong to no life: no place, no helper, a file that must not be run
//! life         its time limits, quiet ends, lines of the log, and what the client gets; for a server that reads heads itself
//! relay        a life whose output is read here: document (head, body, Content-Length) and brief (ends that follow at once)
//! lines        standard error as lines
//! ```
//! Nothing here has a clock or does I/O: [`crate::sys::spawner`] starts programs, the server modules move bytes.

mod brief;
mod document;
mod environment;
mod life;
mod lines;
mod messages;
mod relay;
mod request;
mod resolve;

pub use brief::BriefRuns;
pub use environment::{RunError, Words, words};
pub use life::{Extent, ScriptAction, ScriptEnd, ScriptLife};
pub use lines::Lines;
pub use messages::{LEADS_OUT, full_line, late_line, lost_line};
pub use relay::{Relay, RelayStep};
pub use request::{spawn_request, users};
pub use resolve::{MappedPath, Resolved, find_index, resolve};
