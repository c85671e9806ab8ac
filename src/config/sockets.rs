// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said of the WebSockets of an application.

use std::time::Duration;

use super::values;
use crate::protocol::websocket::SocketRules;

/// Bytes of a message without `ws_max_message=`.
const DEFAULT_MESSAGE_MOST: usize = 1 << 20;
/// Silence before a ping without `ws_ping=`, and how long an answer may take.
const DEFAULT_PING: Duration = Duration::from_secs(20);
/// The time over which they are closed when the server is restarted, without `ws_drain=`.
const DEFAULT_DRAIN: Duration = Duration::from_secs(10);
/// How long a client may take to end after our close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The words `ws_*=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SocketTerms {
    message_most: usize,
    ping: Option<Duration>,
    deflate: bool,
    idle: Option<Duration>,
    drain: Duration,
}

impl Default for SocketTerms {
    fn default() -> Self {
        Self {
            message_most: DEFAULT_MESSAGE_MOST,
            ping: Some(DEFAULT_PING),
            deflate: true,
            idle: None,
            drain: DEFAULT_DRAIN,
        }
    }
}

impl SocketTerms {
    /// Takes a word whose value has been checked. Answers whether it is one of these.
    pub(super) fn apply(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "ws_max_message" => {
                self.message_most = usize::try_from(values::size(value)?).unwrap_or(usize::MAX);
            }
            "ws_ping" => self.ping = values::time(value)?,
            "ws_deflate" => self.deflate = value == "on",
            "ws_idle" => self.idle = values::time(value)?,
            "ws_drain" => self.drain = values::time(value)?.unwrap_or_default(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What holds for a connection, but for what is agreed on in its handshake.
    #[must_use]
    pub fn rules(&self) -> SocketRules {
        SocketRules {
            message_most: self.message_most,
            compression: None,
            ping_every: self.ping,
            ping_wait: DEFAULT_PING,
            close_wait: CLOSE_WAIT,
            idle: self.idle,
        }
    }

    /// Whether messages may be compressed.
    #[must_use]
    pub fn deflate(&self) -> bool {
        self.deflate
    }

    /// The time over which they are closed when the server is restarted; zero: at once.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain
    }
}
