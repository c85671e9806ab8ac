// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications in processes of their own: `GangwaySpawn`, and `GangwayWSGI` and `GangwayNative` with `processes=` or `user=`.
//!
//! ```text
//! post_config -> parent     starts and tells what looks after processes; it outlives this module, which httpd unloads
//! child_init -> services    this child's way to it, and what it shares about each application
//! handler     -> serve       one request: attempts, and what becomes of one that fails
//!                -> seat     a place of a process, which a request waits for on its own thread
//!                -> recorder under which id the request is noted
//!                -> carried  the request's body on its way out, the response on its way in
//!                -> idle     connections that nobody uses now, and processes that a request has left
//! ```

mod carried;
mod idle;
mod parent;
mod program;
mod recorder;
mod seat;
mod serve;
mod services;
mod wanted;

use std::ffi::CStr;

use crate::raw::ChildPool;

pub(crate) use parent::{named, start as prepare};
pub(crate) use program::is_ours as is_program;
pub(crate) use serve::{is_for_handlers, serve_application, serve_program};
pub(crate) use services::processes_of;
pub(crate) use wanted::{Wanted, all, check, host, warnings};

/// The name of the handler for programs.
pub(crate) const PROGRAM: &CStr = c"gangway-spawn";

/// A child begins.
pub(crate) fn start(_: &ChildPool) {
    if services::start_child() {
        idle::begin();
    }
}
