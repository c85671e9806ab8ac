// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much of a response's body is for the client.

use gangway::{error::TOO_MUCH_BODY, report};

use crate::{module::Module, request::Request};

/// As many bytes as Content-Length promises, all without one, none where the client gets no body.
#[derive(Debug, Default)]
pub struct BodyQuota {
    left: Option<u64>,
    is_dropped: bool,
    is_exceeded: bool,
}

impl BodyQuota {
    /// That of a response with this length; `is_dropped`: its body is not for the client.
    #[must_use]
    pub fn new(content_length: Option<u64>, is_dropped: bool) -> Self {
        Self { left: content_length.filter(|_| !is_dropped), is_dropped, is_exceeded: false }
    }

    /// How many of `count` bytes are for the client. Says once that `who` sends more than its Content-Length.
    pub fn admit<M: Module>(&mut self, request: Request<'_, M>, count: usize, who: &str) -> usize {
        let admitted = self.take(count);
        if admitted < count && !self.is_dropped && !self.is_exceeded {
            self.is_exceeded = true;
            let text = "sent more than its Content-Length says; the rest is dropped";
            report!(request, Warn, TOO_MUCH_BODY, "{who} {text}");
        }
        admitted
    }

    fn take(&mut self, count: usize) -> usize {
        if self.is_dropped {
            return 0;
        }
        let Some(left) = self.left else { return count };
        let admitted = usize::try_from(left).unwrap_or(count).min(count);
        self.left = Some(left - admitted as u64);
        admitted
    }

    /// Bytes that were promised and have not come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.left.unwrap_or(0)
    }

    /// Whether a length was promised for a body that the client gets.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.left.is_some()
    }

    /// Whether more has come.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_promised_length_is_taken() {
        let mut quota = BodyQuota::new(Some(5), false);
        assert_eq!((quota.take(3), quota.missing()), (3, 2));
        assert_eq!((quota.take(3), quota.missing(), quota.take(1)), (2, 0, 0));
        let mut endless = BodyQuota::new(None, false);
        assert_eq!((endless.take(7), endless.missing(), endless.is_limited()), (7, 0, false));
    }

    #[test]
    fn of_a_body_that_is_dropped_nothing_is_missing() {
        let mut quota = BodyQuota::new(Some(5), true);
        assert_eq!((quota.take(3), quota.missing(), quota.is_limited()), (0, 0, false));
    }
}
