// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker's way to the supervisor. Its end tells the supervisor that the worker has ended.

use std::{
    io,
    sync::{Arc, Mutex},
};

use super::message::{self, Trouble};
use crate::sys::{
    lock,
    spawner::tree::{MessageSocket, Tree},
};

/// One for each worker process, for as long as it lives. Any thread may use it.
#[derive(Debug)]
pub struct Link {
    tree: Arc<Tree>,
    channel: Mutex<MessageSocket>,
}

impl Link {
    pub(super) fn connect(tree: &Arc<Tree>) -> io::Result<Self> {
        Ok(Self { tree: Arc::clone(tree), channel: Mutex::new(tree.connect()?) })
    }

    /// Says that a request of an application waits, after it has come to wait. Never waits itself.
    ///
    /// # Errors
    /// `BrokenPipe` when all that looks after processes was killed: only a reload of the server makes it anew.
    pub fn demand(&self, app: u32) -> io::Result<()> {
        let mut channel = lock(&self.channel);
        let mut sent = channel.send(&message::demand(app), &[], false);
        if is_end(&sent) {
            // Another supervisor takes its place.
            *channel = self.tree.connect()?;
            sent = channel.send(&message::demand(app), &[], false);
        }
        match sent {
            // It has not yet read that others wait, and will look at all of them.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Asks how much memory the processes of an application have, which their shared memory says soon. Never waits, and is lost when nobody
    /// listens.
    pub fn measure(&self, app: u32) {
        let _ = lock(&self.channel).send(&message::measure(app), &[], false);
    }

    /// Tells of a request that was not answered in time. Never waits, and is lost when nobody listens.
    pub fn tell(&self, trouble: &Trouble) {
        let _ = lock(&self.channel).send(&trouble.encode(), &[], false);
    }
}

fn is_end(sent: &io::Result<()>) -> bool {
    let ends = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::NotConnected];
    sent.as_ref().is_err_and(|error| ends.contains(&error.kind()))
}
