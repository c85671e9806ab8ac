// SPDX-License-Identifier: MIT OR Apache-2.0
//! One process of an application, or the place for one.

use std::time::Duration;

use super::{Time, Wear};
use crate::config::Life;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no process.
    #[default]
    Vacant,
    /// It does not take requests yet.
    Starting,
    /// It could, but does not get any yet.
    Warm,
    /// It gets requests.
    Ready,
    /// It gets no more, and is told to end when it has none, or then.
    Draining { until: Option<Time> },
    /// It has been told to end; it is told once more then, if it has not been, and is killed then, or has been.
    Ending { nudge_at: Option<Time>, kill_at: Option<Time> },
}

impl Phase {
    /// Whether the process serves or will.
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Warm | Self::Ready)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlanSlot {
    pub(super) phase: Phase,
    pub(super) generation: u32,
    /// Since when it is in its phase, for those that have one of their own.
    pub(super) since: Time,
    /// When it was seen to have a request.
    pub(super) used_at: Time,
    pub(super) served: u64,
    pub(super) claims: u16,
    /// It takes no requests, as a worker says.
    pub(super) is_gone: bool,
    /// When it began, and as the how manieth.
    pub(super) born: Time,
    pub(super) birth: u32,
    /// When it is replaced because of its age.
    pub(super) expires: Option<Time>,
    /// After how many requests it is replaced.
    pub(super) most_served: Option<u64>,
    /// With how much resident memory it is replaced, and how much it had when that was looked at.
    pub(super) most_resident: Option<u64>,
    pub(super) resident: u64,
    /// It is to be replaced: its successor has been asked for, or will be.
    pub(super) leaving: bool,
}

impl PlanSlot {
    /// A process that begins. `birth` makes a difference to the others, so that they are not replaced at the same time.
    pub(super) fn born(phase: Phase, generation: u32, now: Time, life: &Life, birth: u32) -> Self {
        let mut slot =
            Self { phase, generation, since: now, used_at: now, born: now, birth, ..Self::default() };
        slot.bound(life);
        slot
    }

    /// Its limits by these words.
    pub(super) fn bound(&mut self, life: &Life) {
        let (born, birth) = (self.born, self.birth);
        self.expires = life.lifetime.map(|age| born + age - age.mul_f64(early(birth)));
        self.most_served = life.max_requests.map(|most| less(most.into(), birth));
        self.most_resident = life.max_rss.map(|most| less(most, birth));
    }

    /// Why it is to be replaced, if it is.
    pub(super) fn wear(&self, now: Time) -> Option<Wear> {
        let over = |most: Option<u64>, now| most.is_some_and(|most| most <= now);
        if over(self.most_resident, self.resident) {
            return Some(Wear::Resident(self.resident));
        }
        if over(self.most_served, self.served) {
            return Some(Wear::Requests(self.served));
        }
        self.expires.is_some_and(|at| at <= now).then_some(Wear::Age)
    }

    /// How many of those who wait have a place of it, of so many, as soon as they look.
    pub(super) fn free(&self, threads: u32) -> usize {
        let free = threads.saturating_sub(self.claims.into()) as usize;
        if self.phase == Phase::Ready && !self.is_gone { free } else { 0 }
    }

    /// When it will have been idle for this long.
    pub(super) fn idle_at(&self, idle: Duration) -> Time {
        self.used_at + idle
    }
}

/// A part of up to a tenth, spread evenly by the golden ratio.
fn early(birth: u32) -> f64 {
    f64::from(birth.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX) / 10.0
}

fn less(most: u64, birth: u32) -> u64 {
    let spread = u128::from(most) / 10;
    let part = u128::from(birth.wrapping_mul(0x9e37_79b9)) * spread / u128::from(u32::MAX);
    // A tenth of it at most.
    most - part as u64
}
