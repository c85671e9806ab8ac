// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_status`: how applications do, from the memory that workers and supervisor share. No application is asked.
//!
//! ```text
//! handler    the page, and its forms for programs
//! guard      whether anybody else may see it
//! ```

mod guard;
mod handler;

pub(crate) use guard::check as check_guard;
pub(crate) use handler::content_handler;

use crate::{conf::CountKey, managed, raw::Cycle, serve::counting};

/// In the process that will fork the workers, when all is prepared.
pub(crate) fn announce(cycle: &Cycle<'_>) {
    counting::announce(cycle, |key| match key {
        // Its supervisor knows it by that.
        CountKey::Managed(managed) => managed::name_of(managed),
        _ => None,
    });
}
