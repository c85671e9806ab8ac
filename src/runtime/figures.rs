// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where it is counted what an application does, and said how it does.

use super::Application;
use crate::status::Tally;

impl Application {
    /// Has its requests counted there, and says there whether it can run. The first one counts.
    pub fn count_at(&self, tally: Tally) {
        if self.tally.set(tally).is_ok() {
            self.health.listen(move |reason| tally.note_health(reason));
        }
    }

    /// Where its requests are counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.get().copied().unwrap_or_default()
    }

    /// Has it told, where nothing is counted, each time that the application cannot run, with the reason, and that it can, without.
    pub fn listen(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        self.health.listen(listener);
    }
}
