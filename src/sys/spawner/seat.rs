// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spawner of a server's parent, from one configuration to the next; its workers inherit the descriptor.

use std::{io, sync::Mutex};

use super::{Spawner, SpawnerClient};
use crate::{
    error::CGI_SPAWNER,
    log::Line,
    rights::Identity,
    sys::{explain, lock},
};

/// See the module.
#[derive(Debug, Default)]
pub struct SpawnerSeat(Mutex<Option<Spawner>>);

impl SpawnerSeat {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Starts that of a configuration as [`Spawner::start`] does. That of an earlier one ends with the last worker that uses it.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub fn replace(&self, identities: &[Identity], begun: impl FnOnce()) -> Result<(), Line> {
        let mut place = lock(&self.0);
        // Before the next one, which would inherit its descriptor.
        *place = None;
        let spawner = Spawner::start(identities, begun).map_err(|error| {
            let why = explain(&error);
            Line::error(CGI_SPAWNER, format!("cannot start the process that starts scripts: {why}"))
        })?;
        *place = Some(spawner);
        Ok(())
    }

    /// The configuration has no scripts.
    pub fn clear(&self) {
        *lock(&self.0) = None;
    }

    /// A way to a helper of this process' own, as [`Spawner::connect`] makes it.
    ///
    /// # Errors
    /// As there; `NotConnected` where there is no spawner.
    pub fn connect(&self) -> io::Result<SpawnerClient> {
        lock(&self.0).as_mut().ok_or(io::ErrorKind::NotConnected)?.connect()
    }
}
