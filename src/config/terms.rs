// SPDX-License-Identifier: MIT OR Apache-2.0
//! What everything that answers requests says of them, whatever runs it.

use std::time::Duration;

/// Waiting requests without `queue=`.
const DEFAULT_QUEUE: u32 = 512;

/// `queue=`, `timeout=` and `pass_authorization=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestTerms {
    pub(super) queue: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) pass_authorization: bool,
}

impl RequestTerms {
    /// Those without options.
    pub(super) const fn new(timeout: Option<Duration>) -> Self {
        Self { queue: DEFAULT_QUEUE, timeout, pass_authorization: false }
    }
}

/// Lets a type with a field `terms` tell them.
macro_rules! tell_terms {
    ($type:ty) => {
        impl $type {
            /// Requests that may wait.
            #[must_use]
            pub fn queue(&self) -> usize {
                self.terms.queue as usize
            }

            /// How long it may give no output.
            #[must_use]
            pub fn timeout(&self) -> Option<std::time::Duration> {
                self.terms.timeout
            }

            /// Whether it may see `Authorization`.
            #[must_use]
            pub fn pass_authorization(&self) -> bool {
                self.terms.pass_authorization
            }
        }
    };
}
pub(super) use tell_terms;
