// SPDX-License-Identifier: MIT OR Apache-2.0
//! Managed processes: applications in processes of their own, which the server starts, feeds and ends.
//!
//! [`segment`] is what the server's workers and the supervisor share about one application; [`plan`] decides what is to
//! be done with its processes.

pub mod plan;
pub mod segment;
