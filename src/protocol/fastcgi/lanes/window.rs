// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much of a response may be on its way.

use super::{super::BODY_PART, WINDOW};

/// The host's side of a window: how many bytes of a lane's records it may still send.
#[derive(Clone, Copy, Debug)]
pub struct Window(usize);

impl Default for Window {
    fn default() -> Self {
        Self(WINDOW)
    }
}

impl Window {
    /// Bytes of a record's header.
    const HEADER: usize = 8;

    /// Whether a stream of so many bytes fits, in as many records as it needs.
    #[must_use]
    pub fn fits(self, bytes: usize) -> bool {
        Self::cost(bytes).is_some_and(|cost| cost <= self.0)
    }

    /// How many bytes of a stream fit.
    #[must_use]
    pub fn room(self) -> usize {
        let part = usize::from(BODY_PART) + Self::HEADER;
        let (whole, rest) = (self.0 / part, self.0 % part);
        whole * usize::from(BODY_PART) + rest.saturating_sub(Self::HEADER)
    }

    /// So many bytes of a stream are sent.
    pub fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(Self::cost(bytes).unwrap_or(usize::MAX));
    }

    /// The worker lets it send so many bytes more.
    pub fn add(&mut self, bytes: u32) {
        self.0 = self.0.saturating_add(bytes as usize).min(WINDOW);
    }

    fn cost(bytes: usize) -> Option<usize> {
        bytes.div_ceil(usize::from(BODY_PART)).checked_mul(Self::HEADER)?.checked_add(bytes)
    }
}
