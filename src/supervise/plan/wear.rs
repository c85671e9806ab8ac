// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that have served for long enough: they are replaced between two requests, when their successor is ready.

use super::{
    Action, COUNT, COUNT_SELDOM, LifeEvent, Look, Plan, Time, Wear,
    slot::{Phase, PlanSlot},
};

impl Plan {
    /// Takes over what the shared memory says and, from time to time, what the processes have used.
    pub(super) fn observe(&mut self, now: Time, look: &impl Look) {
        for (number, slot) in (0..).zip(&mut self.slots) {
            if slot.phase == Phase::Vacant {
                continue;
            }
            let seen = look.slot(number);
            if seen.served != slot.served || seen.claims > 0 {
                slot.used_at = now;
            }
            self.worked |= seen.served != slot.served;
            (slot.served, slot.claims, slot.is_gone) = (seen.served, seen.claims, seen.is_gone);
        }
        if self.counts() && self.count_at.is_none_or(|at| at <= now) {
            let worked = std::mem::take(&mut self.worked);
            self.count_after = if worked { COUNT } else { (self.count_after * 2).min(COUNT_SELDOM) };
            self.count_at = Some(now + self.count_after);
            self.weigh(look);
        }
    }

    /// What one that has ended had served: its end comes before the next look.
    pub(super) fn count_last(&mut self, number: u16, look: &impl Look) {
        if let Some(slot) = self.slots.get_mut(usize::from(number)) {
            slot.served = slot.served.max(look.slot(number).served);
        }
    }

    /// Whether there is something to count.
    pub(super) fn counts(&self) -> bool {
        self.life.max_requests.is_some() || self.life.max_rss.is_some()
    }

    fn weigh(&mut self, look: &impl Look) {
        let measured = |slot: &PlanSlot| slot.phase == Phase::Ready && slot.most_resident.is_some();
        for (number, slot) in (0..).zip(&mut self.slots).filter(|(_, slot)| measured(slot)) {
            slot.resident = look.resident(number);
        }
    }

    pub(super) fn mark_worn(&mut self, now: Time) {
        let worn: Vec<(u16, Wear)> = (0..)
            .zip(&mut self.slots)
            .filter(|(_, slot)| slot.phase == Phase::Ready && !slot.leaving)
            .filter_map(|(number, slot)| {
                let wear = slot.wear(now)?;
                slot.leaving = true;
                Some((number, wear))
            })
            .collect();
        for (number, wear) in worn {
            self.act(Action::Tell(LifeEvent::Worn(number, wear)));
        }
    }
}
