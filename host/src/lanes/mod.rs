// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several requests at a time on the connection of a worker of ours (`gangway::protocol::fastcgi::lanes`): what has a body has a short one.
//!
//! `incoming` is what comes, `table` the requests of a connection, `port` the handler's side of one of them. Nobody holds the connection for a request: what arrives is
//! read by any thread, and what leaves is appended to what others have given.

mod incoming;
mod port;
mod table;

pub(crate) use incoming::{LaneMessage, LaneRequest};
pub(crate) use port::LanePort;
pub(crate) use table::LaneTable;
