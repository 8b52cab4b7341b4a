//! How long attempts take, as a histogram of fixed size: pure, and it forgets what is long ago.

use std::time::Duration;

/// Each power of two of microseconds is cut into so many buckets: a quantile is told at most a quarter too high.
const PARTS: u32 = 4;
/// Everything below 64 µs is one bucket; everything above some four minutes another.
const FIRST: u32 = 6;
const POWERS: u32 = 22;
const BUCKETS: usize = (PARTS * POWERS) as usize + 2;
/// With fewer attempts than this nothing is known.
const ENOUGH: u32 = 20;
/// With so many, each counts half from then on: what was true an hour ago fades.
const MANY: u32 = 1_000;

/// A histogram of latencies.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: [u16; BUCKETS],
    total: u32,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { buckets: [0; BUCKETS], total: 0 }
    }

    /// Counts an attempt.
    pub(crate) fn record(&mut self, took: Duration) {
        if self.total >= MANY {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.total = self.buckets.iter().map(|count| u32::from(*count)).sum();
        }
        // A bucket holds at most MANY.
        self.buckets[bucket(took)] += 1;
        self.total += 1;
    }

    /// Within how long the share `quantile` of the attempts was answered; `None` if too little is known.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        if self.total < ENOUGH {
            return None;
        }
        let wanted = quantile.clamp(0.0, 1.0) * f64::from(self.total);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += u32::from(*count);
            seen > 0 && f64::from(seen) >= wanted
        });
        bucket.map(end)
    }
}

/// The bucket of a latency.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(power) = micros.checked_ilog2().and_then(|log| log.checked_sub(FIRST)) else { return 0 };
    if power >= POWERS {
        return BUCKETS - 1;
    }
    let part = (micros >> (power + FIRST - PARTS.ilog2())) % u64::from(PARTS);
    1 + (power * PARTS) as usize + usize::try_from(part).unwrap_or(0)
}

/// Where a bucket ends.
fn end(bucket: usize) -> Duration {
    let Some(index) = bucket.checked_sub(1) else { return Duration::from_micros(1 << FIRST) };
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let (power, part) = (index / u64::from(PARTS), index % u64::from(PARTS));
    let width = 1_u64 << (u64::from(FIRST) + power - u64::from(PARTS.ilog2()));
    Duration::from_micros(width * (u64::from(PARTS) + part + 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn with_few_attempts_nothing_is_known() {
        let mut latencies = Latencies::new();
        for _ in 1..ENOUGH {
            latencies.record(Duration::from_millis(5));
        }
        assert_eq!(latencies.quantile(0.5), None);
        latencies.record(Duration::from_millis(5));
        assert!(latencies.quantile(0.5).is_some());
    }

    #[test]
    fn what_is_long_ago_fades() {
        let mut latencies = Latencies::new();
        (0..5_000).for_each(|_| latencies.record(Duration::from_secs(1)));
        (0..5_000).for_each(|_| latencies.record(Duration::from_millis(1)));
        assert!(latencies.quantile(0.95).unwrap() < Duration::from_millis(2));
    }

    #[test]
    fn the_longest_and_the_shortest_have_their_place() {
        let mut latencies = Latencies::new();
        (0..50).for_each(|_| latencies.record(Duration::ZERO));
        (0..50).for_each(|_| latencies.record(Duration::MAX));
        assert_eq!(latencies.quantile(0.1), Some(Duration::from_micros(64)));
        assert!(latencies.quantile(0.9).unwrap() > Duration::from_secs(200));
    }

    proptest! {
        // Never lower than it is, and at most a quarter higher.
        #[test]
        fn a_quantile_is_told_nearly_as_it_is(
            mut micros in proptest::collection::vec(64_u64..100_000_000, 20..500), quantile in 0.01_f64..=1.0,
        ) {
            let mut latencies = Latencies::new();
            micros.iter().for_each(|micros| latencies.record(Duration::from_micros(*micros)));
            micros.sort_unstable();
            let rank = (quantile * micros.len() as f64).ceil().max(1.0) as usize;
            let truth = micros[rank - 1] as f64;
            let told = latencies.quantile(quantile).unwrap().as_micros() as f64;
            prop_assert!(told >= truth && told <= truth * 1.25 + 1.0, "{} told, {} is true", told, truth);
        }
    }
}
