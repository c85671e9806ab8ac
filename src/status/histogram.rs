// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long something took, counted in buckets. All bounds are the same everywhere, so that counts of processes can be summed.

use std::time::Duration;

/// The upper ends of the buckets, in microseconds. What is longer than the last one has a bucket of its own.
pub const BOUNDS: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// How many buckets there are.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// The bucket of a time in microseconds. Most of them are short, so the search begins there.
pub(super) fn bucket(micros: u64) -> usize {
    BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len())
}

/// Times, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many stand in each bucket.
    pub counts: [u64; BUCKETS],
    /// All of them together, in microseconds.
    pub sum: u64,
}

impl Histogram {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds those of another one.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in self.counts.iter_mut().zip(other.counts) {
            *own = own.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// A time that so many of a hundred are no longer than, as far as the buckets tell: within one, times are taken to be spread
    /// evenly. `None` without any.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = count.saturating_mul(percent).div_ceil(100).max(1);
        let (mut below, mut from) = (0, 0);
        for (bucket, here) in self.counts.iter().enumerate() {
            let to = BOUNDS.get(bucket).copied().unwrap_or(from);
            if below + here >= wanted {
                let part = (to - from).saturating_mul(wanted - below) / (*here).max(1);
                return Some(Duration::from_micros(from + part));
            }
            below += here;
            from = to;
        }
        Some(Duration::from_micros(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert_eq!((bucket(0), bucket(250), bucket(251)), (0, 0, 1));
        for (index, bound) in BOUNDS.iter().enumerate() {
            assert_eq!((bucket(*bound), bucket(bound + 1)), (index, index + 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_stand_within_their_bucket() {
        let mut times = Histogram::default();
        assert_eq!(times.percentile(50), None);
        for micros in [100, 200, 300, 400, 4_000_000] {
            times.counts[bucket(micros)] += 1;
            times.sum += micros;
        }
        assert_eq!(times.percentile(50), Some(Duration::from_micros(375)));
        assert_eq!(times.percentile(99), Some(Duration::from_secs(5)));
        times.counts[BUCKETS - 1] += 1000;
        assert_eq!(times.percentile(99), Some(Duration::from_secs(60)));
        assert_eq!((times.count(), times.sum), (1005, 4_001_000));
    }

    proptest::proptest! {
        #[test]
        fn a_percentile_is_no_further_off_than_its_bucket(mut all in proptest::collection::vec(0u64..60_000_000, 1..50), percent in 1u64..=100) {
            let mut times = Histogram::default();
            all.iter().for_each(|micros| times.counts[bucket(*micros)] += 1);
            all.sort_unstable();
            let exact = all[(all.len() as u64 * percent).div_ceil(100) as usize - 1];
            let told = times.percentile(percent).unwrap().as_micros() as u64;
            proptest::prop_assert_eq!(bucket(told.max(1)), bucket(exact.max(1)), "{} {}", told, exact);
        }
    }
}
