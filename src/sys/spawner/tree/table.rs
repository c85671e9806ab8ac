// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server's parent has said, kept for who comes later.

use std::os::fd::AsFd;

use super::{
    MessageSocket, Parcel,
    message::{self, Heard},
};

/// What the server's parent has said: messages with their descriptors.
#[derive(Default)]
pub(super) struct Table {
    pub(super) told: Vec<Parcel>,
    next: Vec<Parcel>,
}

impl Table {
    /// Takes a message; those of a configuration count when it is whole. Answers whether it is now.
    pub(super) fn take(&mut self, packet: Parcel) -> bool {
        let whole = matches!(message::heard(&packet.bytes), Some(Heard::Commit));
        self.next.push(packet);
        if whole {
            self.told = std::mem::take(&mut self.next);
        }
        whole
    }

    /// Forgets a configuration that did not become whole.
    pub(super) fn forget_half(&mut self) {
        self.next.clear();
    }
}

impl Parcel {
    pub(super) fn send(&self, channel: &MessageSocket) -> std::io::Result<()> {
        let fds: Vec<_> = self.fds.iter().map(AsFd::as_fd).collect();
        channel.send(&self.bytes, &fds, true)
    }
}
