// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has been seen of backends whose connections are kept: whether an address keeps them, and whether it can be known
//! that the process behind one waits for its next request.
//!
//! The table stands in memory that the processes of a server share. It is bounded: an address has the place that its hash
//! gives it, and takes it from another one. All zeros is a table of which nothing is known, and nonsense in it makes
//! connections used or not used, and no more.

use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1024;

/// For how long an idle connection is trusted once any has been used again, in milliseconds.
const SHORT: u64 = 200;
/// For how many milliseconds a connection has to be idle, and open then, to show by that alone that its address keeps connections.
const STAYED: u64 = 1000;
/// Responses of an address after which it is no longer looked at what it has left unread.
const SAMPLES: u64 = 64;
/// For how many milliseconds the connections of an address are not kept after its first delay. It doubles.
const DELAY: u64 = 1000;
/// How often it doubles at most.
const DOUBLINGS: u64 = 10;

/// A member of the packed facts: where it stands and how many bits it has.
#[derive(Clone, Copy)]
struct Member(u32, u32);

/// It leaves the end of a request unread until it comes back for the next one.
const LAZY: Member = Member(0, 1);
/// Nobody here sees what it reads.
const BLIND: Member = Member(1, 1);
const SAMPLED: Member = Member(2, 7);
/// The longest time in milliseconds, plus one, that a connection was idle and could be used again.
const PROVEN: Member = Member(9, 16);
const DELAYS: Member = Member(25, 4);
/// Until when in seconds, plus one, nothing is kept because of a delay.
const SHUNNED: Member = Member(29, 32);
/// It has closed a connection by itself.
const CLOSES: Member = Member(61, 1);

impl Member {
    fn most(self) -> u64 {
        (1 << self.1) - 1
    }

    fn get(self, facts: u64) -> u64 {
        facts >> self.0 & self.most()
    }

    fn set(self, facts: u64, value: u64) -> u64 {
        facts & !(self.most() << self.0) | value.min(self.most()) << self.0
    }
}

#[derive(Debug)]
#[repr(C)]
struct BackendSlot {
    tag: AtomicU64,
    facts: AtomicU64,
}

/// The table.
#[derive(Debug)]
#[repr(C)]
pub struct BackendRecords {
    slots: [BackendSlot; SLOTS],
}

impl BackendRecords {
    /// What is known of the address with this hash.
    pub fn of(&self, hash: u64) -> Option<BackendRecord<'_>> {
        let tag = hash | 1;
        let slot = self.slots.get(usize::try_from(hash / 2 % SLOTS as u64).ok()?)?;
        if slot.tag.load(Ordering::Relaxed) != tag {
            slot.facts.store(0, Ordering::Relaxed);
            slot.tag.store(tag, Ordering::Relaxed);
        }
        Some(BackendRecord(&slot.facts))
    }
}

/// What is known of an address. Times are milliseconds of one clock.
#[derive(Clone, Copy, Debug)]
pub struct BackendRecord<'a>(&'a AtomicU64);

impl BackendRecord<'_> {
    fn get(self, member: Member) -> u64 {
        member.get(self.0.load(Ordering::Relaxed))
    }

    fn update(self, change: impl Fn(u64) -> u64) {
        let before = self.0.load(Ordering::Relaxed);
        let after = change(before);
        if after != before {
            // Who loses a race has seen what is seen again.
            let _ = self.0.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether connections that are idle for so long have been kept: what cannot be sent twice may go there.
    pub fn keeps(self, idle: u64) -> bool {
        let proven = self.get(PROVEN);
        proven > 0 && idle < proven.max(SHORT)
    }

    /// A connection has answered once more, after it was idle for so long.
    pub fn has_kept(self, idle: u64) {
        self.update(|facts| PROVEN.set(facts, PROVEN.get(facts).max(idle + 1)));
    }

    /// Whether nothing is known yet of what an address does with idle connections: those that have been idle for longest are to stay
    /// idle, for only they can show it.
    pub fn wants_proof(self) -> bool {
        self.get(PROVEN) == 0 && !self.closes()
    }

    /// Whether a connection that has been idle for so long would show something new by being open still.
    pub fn would_show(self, idle: u64) -> bool {
        idle >= STAYED && !self.closes() && idle / 2 >= self.get(PROVEN)
    }

    /// A connection is still open after it was idle for so long. That it takes a request has not been seen, so half of it counts: a
    /// backend that closes by the clock has as much time left for a request as the connection may have been idle.
    pub fn has_stayed(self, idle: u64) {
        if self.would_show(idle) {
            self.has_kept(idle / 2);
        }
    }

    /// The address has closed a connection by itself.
    pub fn has_closed(self) {
        self.update(|facts| CLOSES.set(PROVEN.set(facts, 0), 1));
    }

    /// Whether it has ever done so.
    pub fn closes(self) -> bool {
        self.get(CLOSES) != 0
    }

    /// Whether what an idle connection has left unread tells if somebody waits on it.
    pub fn is_lazy(self) -> bool {
        self.get(LAZY) != 0
    }

    /// Whether it is still to be found out.
    pub fn wants_sample(self) -> bool {
        let facts = self.0.load(Ordering::Relaxed);
        LAZY.get(facts) == 0 && SAMPLED.get(facts) < SAMPLES
    }

    /// What a connection had left unread when its response had ended: nothing, something, or nobody can say.
    pub fn sample(self, unread: Option<bool>) {
        self.update(|facts| {
            let facts = SAMPLED.set(facts, SAMPLED.get(facts) + 1);
            match unread {
                Some(true) => BLIND.set(LAZY.set(facts, 1), 0),
                Some(false) => BLIND.set(facts, 0),
                None => BLIND.set(facts, 1),
            }
        });
    }

    /// Whether nobody here sees what it reads.
    pub fn is_blind(self) -> bool {
        self.get(BLIND) != 0
    }

    /// A request was not read on a kept connection, and it could not be known before. The more often, the longer the
    /// address is shunned.
    pub fn was_late(self, now: u64) {
        self.update(|facts| {
            let delays = DELAYS.get(facts);
            // One that has behaved for as long as it was shunned begins anew.
            let since = now.saturating_sub(SHUNNED.get(facts).saturating_sub(1).saturating_mul(1000));
            let delays = if since > DELAY << delays { 0 } else { delays };
            let until = now + (DELAY << delays);
            let facts = DELAYS.set(facts, (delays + 1).min(DOUBLINGS));
            SHUNNED.set(facts, until.div_ceil(1000) + 1)
        });
    }

    /// Whether its connections are not kept because of that.
    pub fn is_shunned(self, now: u64) -> bool {
        let until = self.get(SHUNNED);
        until > 0 && !self.is_lazy() && now < (until - 1).saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> BackendRecords {
        BackendRecords {
            slots: std::array::from_fn(|_| BackendSlot { tag: AtomicU64::new(0), facts: AtomicU64::new(0) }),
        }
    }

    #[test]
    fn an_address_has_to_show_that_it_keeps_connections() {
        let table = table();
        let record = table.of(7).unwrap();
        assert!(!record.keeps(0));
        record.has_kept(3);
        assert!(record.keeps(0) && record.keeps(SHORT - 1) && !record.keeps(SHORT));
        record.has_kept(5000);
        record.has_kept(1);
        assert!(record.keeps(5000) && !record.keeps(5001));
        record.has_kept(u64::from(u32::MAX));
        assert!(record.keeps(60_000) && !record.keeps(70_000));
        assert!(!record.closes());
        record.has_closed();
        assert!(!record.keeps(0) && record.closes());
        record.has_kept(3);
        assert!(record.keeps(0) && record.closes());
        record.has_closed();
        assert!(!record.is_lazy() && !record.is_blind() && !record.is_shunned(0));
    }

    #[test]
    fn a_connection_that_stays_open_shows_that_its_address_keeps_them() {
        let table = table();
        let record = table.of(7).unwrap();
        assert!(record.wants_proof());
        record.has_stayed(STAYED - 1);
        assert!(!record.would_show(STAYED - 1) && !record.keeps(0));
        assert!(record.would_show(STAYED));
        record.has_stayed(STAYED);
        assert!(record.keeps(STAYED / 2) && !record.keeps(STAYED / 2 + 1) && !record.wants_proof());
        assert!(!record.would_show(STAYED) && record.would_show(2 * STAYED));
        record.has_stayed(10_000);
        assert!(record.keeps(5000) && !record.keeps(5001));
        record.has_closed();
        record.has_stayed(60_000);
        assert!(!record.would_show(60_000) && !record.keeps(0) && !record.wants_proof());
    }

    #[test]
    fn what_is_left_unread_is_found_out_once() {
        let table = table();
        let record = table.of(7).unwrap();
        record.sample(None);
        assert!(record.is_blind() && record.wants_sample());
        record.sample(Some(false));
        assert!(!record.is_blind() && !record.is_lazy() && record.wants_sample());
        record.sample(Some(true));
        assert!(record.is_lazy() && !record.wants_sample());
        let other = table.of(9).unwrap();
        for _ in 0..SAMPLES {
            assert!(other.wants_sample());
            other.sample(Some(false));
        }
        assert!(!other.wants_sample() && !other.is_lazy());
    }

    #[test]
    fn who_is_late_again_and_again_is_shunned_for_longer() {
        let table = table();
        let record = table.of(7).unwrap();
        let mut now = 5500;
        record.was_late(now);
        assert!(record.is_shunned(now) && record.is_shunned(6500) && !record.is_shunned(7500));
        now = 7500;
        record.was_late(now);
        assert!(record.is_shunned(9400) && !record.is_shunned(10_500));
        for _ in 0..30 {
            now += 2000;
            record.was_late(now);
        }
        assert!(record.is_shunned(now + (DELAY << DOUBLINGS)));
        assert!(!record.is_shunned(now + (DELAY << DOUBLINGS) + 1000));
        now += 3 * (DELAY << DOUBLINGS);
        record.was_late(now);
        assert!(!record.is_shunned(now + 2 * DELAY));
        // What can be known before needs no shunning.
        record.was_late(now);
        record.sample(Some(true));
        assert!(!record.is_shunned(now));
    }

    #[test]
    fn an_address_that_takes_a_place_knows_nothing() {
        let table = table();
        let (one, other) = (7, 7 + 2 * SLOTS as u64);
        table.of(one).unwrap().has_kept(0);
        assert!(table.of(one).unwrap().keeps(0) && !table.of(other).unwrap().keeps(0));
        assert!(!table.of(one).unwrap().keeps(0));
    }
}
