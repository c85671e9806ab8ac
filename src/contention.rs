// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many requests wait at an address for a process that an idle connection holds.
//!
//! A request that waits calls, and whoever has an idle connection to that address, or one whose request has ended,
//! answers by closing it: one connection for each call, for each frees one process. All of them at once would make every
//! request connect anew while a busy machine takes its time to accept; and each of those would wait, and call.
//!
//! The table stands in memory that the processes of a server share. An address has the place that its hash gives it. A
//! call is forgotten when nobody has called there for some time, so one who dies leaves nothing that has to be taken back;
//! and nonsense in the table makes connections be closed or kept, and no more.

use std::sync::atomic::{AtomicU64, Ordering};

const PLACES: usize = 1024;

#[derive(Debug)]
#[repr(C)]
struct CallCount {
    /// How many calls there have been (the upper half), and how many of them have been answered.
    calls: AtomicU64,
    /// When somebody called last.
    last: AtomicU64,
}

/// The table. All zeros is one without calls.
#[derive(Debug)]
#[repr(C)]
pub struct Contention {
    places: [CallCount; PLACES],
}

impl Contention {
    /// The calls at the address with this hash, of which the last one is remembered for `holds`.
    pub fn at(&self, hash: u64, holds: u64) -> Option<Calls<'_>> {
        let place = self.places.get(usize::try_from(hash % PLACES as u64).ok()?)?;
        Some(Calls { place, holds })
    }
}

/// A call: its number among those at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call(u32);

/// The calls at an address. Times are milliseconds of one clock.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'a> {
    place: &'a CallCount,
    holds: u64,
}

fn halves(calls: u64) -> (u32, u32) {
    ((calls >> 32) as u32, calls as u32)
}

fn whole(made: u32, answered: u32) -> u64 {
    u64::from(made) << 32 | u64::from(answered)
}

impl Calls<'_> {
    /// Whether there are calls that nobody has answered.
    pub fn are_open(self, now: u64) -> bool {
        let (made, answered) = halves(self.place.calls.load(Ordering::Relaxed));
        made != answered && self.are_heard(now)
    }

    fn are_heard(self, now: u64) -> bool {
        // The clock of one process may be a little ahead of another one's.
        let last = self.place.last.load(Ordering::Relaxed);
        now.wrapping_sub(last).wrapping_add(self.holds) < 2 * self.holds
    }

    /// A request waits: for the first time, or still after an earlier call. Answers its call, and whether it is a new one.
    pub fn call(self, earlier: Option<Call>, now: u64) -> (Call, bool) {
        let is_heard = self.are_heard(now);
        self.place.last.store(now, Ordering::Relaxed);
        let mut call = earlier;
        let added = self.place.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
            let (made, answered) = halves(calls);
            let answered = if is_heard { answered } else { made };
            // If the earlier one has been answered, its process has gone to another request.
            if earlier.is_some_and(|call| after(call.0, answered)) {
                return None;
            }
            call = Some(Call(made.wrapping_add(1)));
            Some(whole(made.wrapping_add(1), answered))
        });
        (call.unwrap_or(Call(0)), added.is_ok())
    }

    /// A request waits no longer.
    pub fn withdraw(self, call: Call) {
        self.settle(|answered| after(call.0, answered));
    }

    /// Answers a call, if there is one: then the caller closes a connection.
    pub fn answer(self, now: u64) -> bool {
        self.are_open(now) && self.settle(|_| true)
    }

    fn settle(self, is_one: impl Fn(u32) -> bool) -> bool {
        let settled = self.place.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
            let (made, answered) = halves(calls);
            (made != answered && is_one(answered)).then(|| whole(made, answered.wrapping_add(1)))
        });
        settled.is_ok()
    }
}

/// Whether a number comes after another one. Numbers wrap around.
fn after(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: u64 = 60;

    fn table() -> Contention {
        let place = |_| CallCount { calls: AtomicU64::new(0), last: AtomicU64::new(0) };
        Contention { places: std::array::from_fn(place) }
    }

    #[test]
    fn each_call_is_answered_once() {
        let table = table();
        let calls = table.at(7, HOLDS).unwrap();
        assert!(!calls.answer(1000) && !calls.are_open(1000));
        let (first, is_new) = calls.call(None, 1000);
        assert!(is_new);
        let (second, _) = calls.call(None, 1001);
        assert_ne!(first, second);
        assert!(calls.answer(1002) && calls.answer(1002) && !calls.answer(1002));
        assert!(!table.at(8, HOLDS).unwrap().are_open(1002));
    }

    #[test]
    fn who_still_waits_calls_again_if_the_call_was_answered() {
        let table = table();
        let calls = table.at(7, HOLDS).unwrap();
        let (first, _) = calls.call(None, 1000);
        assert_eq!(calls.call(Some(first), 1020), (first, false));
        assert!(calls.answer(1021) && !calls.answer(1021));
        let (again, is_new) = calls.call(Some(first), 1040);
        assert!(is_new && again != first);
        assert!(calls.answer(1041) && !calls.answer(1041));
    }

    #[test]
    fn who_waits_no_longer_needs_no_answer() {
        let table = table();
        let calls = table.at(7, HOLDS).unwrap();
        let (first, _) = calls.call(None, 1000);
        let (second, _) = calls.call(None, 1000);
        assert!(calls.answer(1001));
        // The first one's has been answered.
        calls.withdraw(first);
        assert!(calls.are_open(1001));
        calls.withdraw(second);
        assert!(!calls.answer(1001));
        calls.withdraw(second);
        assert!(!calls.are_open(1001));
    }

    #[test]
    fn what_nobody_repeats_is_forgotten() {
        let table = table();
        let calls = table.at(7, HOLDS).unwrap();
        calls.call(None, 1000);
        calls.call(None, 1000);
        assert!(calls.are_open(1059) && !calls.are_open(1060) && !calls.answer(1060));
        // The clock of a process is that of its last turn.
        assert!(calls.are_open(990));
        calls.call(None, 2000);
        assert!(calls.answer(2000) && !calls.answer(2000));
    }

    #[test]
    fn numbers_wrap_around() {
        let table = table();
        let calls = table.at(7, HOLDS).unwrap();
        calls.place.calls.store(whole(u32::MAX, u32::MAX), Ordering::Relaxed);
        let (call, _) = calls.call(None, 1000);
        assert_eq!(call, Call(0));
        assert_eq!(calls.call(Some(call), 1001), (call, false));
        assert!(calls.answer(1001) && !calls.answer(1001));
    }
}
