// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a supervisor finds that takes the place of another one: processes and templates go on as if nothing had happened.

use super::{GRACE, NUDGE, Plan, Time, slot::Phase, slot::PlanSlot};

/// What a process does that ran before this supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has not taken requests yet.
    Starting,
    /// It serves.
    Ready,
    /// It finishes its requests.
    Draining,
    /// It was told to end.
    Ending,
}

impl Plan {
    /// A process that runs already. After the last one, and the last template, comes [`Plan::go_on`].
    pub fn adopt(&mut self, slot: u16, generation: u32, found: Found, now: Time) {
        let drain = self.life.drain_timeout.map(|limit| now + limit);
        let phase = match found {
            Found::Starting => Phase::Starting,
            Found::Ready => Phase::Ready,
            Found::Draining => Phase::Draining { until: drain },
            Found::Ending => Phase::Ending { nudge_at: Some(now + NUDGE), kill_at: Some(now + GRACE) },
        };
        self.generation = self.generation.max(generation);
        if found == Found::Ready {
            self.serving = self.serving.max(Some(generation));
        }
        self.births += 1;
        let born = PlanSlot::born(phase, generation, now, &self.life, self.births);
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = born;
        }
    }

    /// A template that is there already.
    pub fn adopt_template(&mut self, number: u16, generation: u32, is_loaded: bool, now: Time) {
        self.generation = self.generation.max(generation);
        self.templates.adopt(number, generation, is_loaded, now);
    }

    /// All of it is known.
    pub fn go_on(&mut self, now: Time) {
        self.templates.adopted(self.generation);
        if self.serving == Some(self.generation) {
            // The one before was killed while it let the new ones in.
            for number in self.old_open() {
                self.drain(number, now);
            }
        } else {
            self.restarting = self.serving.is_some();
        }
    }
}
