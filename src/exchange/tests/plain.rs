// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's connection whose socket nothing stands before.

use std::{
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use super::super::pump::{ConnectionLost, Transport, TransportRead};
use crate::{
    protocol::websocket::SocketRules,
    sys::{receive_now, send_now},
};

pub(super) const RULES: SocketRules = SocketRules {
    message_most: 1024 * 1024,
    compression: None,
    ping_every: None,
    ping_wait: Duration::from_secs(20),
    close_wait: Duration::from_secs(20),
    idle: None,
};

/// The connection, and what the pump itself has read and written there and has been told of what others have.
pub(super) struct Plain {
    pub(super) socket: UnixStream,
    pub(super) read: usize,
    pub(super) written: usize,
    pub(super) told_read: usize,
    pub(super) told_written: usize,
}

impl Plain {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, read: 0, written: 0, told_read: 0, told_written: 0 }
    }
}

impl Transport for Plain {
    const PART: usize = 1024;

    fn receive(&mut self, into: &mut [u8]) -> TransportRead {
        match receive_now(self.socket.as_raw_fd(), into) {
            Ok(None) => TransportRead::Later,
            Ok(Some(0)) | Err(_) => TransportRead::End,
            Ok(Some(count)) => {
                self.read += count;
                TransportRead::Bytes(count)
            }
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, ConnectionLost> {
        let count = send_now(self.socket.as_raw_fd(), bytes).map_err(|_| ConnectionLost)?;
        self.written += count;
        Ok(count)
    }

    fn shared(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }

    fn count(&mut self, written: usize) {
        self.told_written += written;
    }

    fn can_lend(&self) -> bool {
        true
    }

    fn count_read(&mut self, read: usize) {
        self.told_read += read;
    }
}
