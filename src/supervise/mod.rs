// SPDX-License-Identifier: MIT OR Apache-2.0
//! Managed processes: applications in processes of their own, which the server starts, feeds and ends.
//!
//! ```text
//! manager     in the server's parent: starts the tree once, tells it each configuration
//! manifest    the applications of a configuration, for who tries them
//! link        in a worker: asks for processes
//! supervisor  in a process of its own: carries out what the plan decides
//! plan        decides, without clock and processes
//! replays     to how many processes a request goes when theirs end
//! refusals    what the log says of requests that no process takes
//! control     what `gangway` and the supervisor say to each other
//! processes   what a page shows of them
//! segment     what workers and supervisor share about one application
//! ```

/// The variable by which a server tells `gangway-host` when a request has come, in milliseconds of the clock that nobody sets. The
/// application does not see it.
pub const ARRIVED: &[u8] = b"GANGWAY_ARRIVED";

/// The variable by which a server tells `gangway-host` where the path of a request leads in the file system: how long the root is, `:`,
/// and the path. For handlers of requests alone, who see it in parts.
pub const MAPPED: &[u8] = b"GANGWAY_MAPPED";

/// A body that is longer than this does not reach a process together with the head of its request: the process says by
/// [`taken`](crate::protocol::fastcgi::taken) that it has the request, before the application has anything of it. One that ends without a word
/// has not begun.
pub const TAKEN_FROM: u64 = 16 * 1024;

/// A body that is no longer than this comes to a process together with those of other requests, on the connection that they share
/// ([`lanes`](crate::protocol::fastcgi::lanes)).
pub const SHARED_BODY_MOST: usize = 64 * 1024;

/// How long the head of an application's response may be: more than clients take, and no danger to a server that holds it.
pub const HEAD_MOST: usize = 1024 * 1024;

/// What `gangway-host` writes as a line when a thread of it is lost: its process is to be replaced.
pub const LOST: &[u8] = b"\x01lost";

/// What `gangway-host` writes before the reason, as a line, when the application cannot run in its process; without a reason:
/// that it can.
pub const UNWELL: &[u8] = b"\x01unwell";

pub mod begun;
pub mod control;
pub mod link;
pub mod manager;
pub mod manifest;
mod message;
pub mod plan;
mod processes;
pub mod refusals;
mod replays;
pub mod segment;
mod supervisor;

pub use link::Link;
pub use manager::{ManagedPool, Manager, Setup};
pub use message::Trouble;
pub use processes::processes;
pub use replays::Replays;
pub use supervisor::Stamp;
