//! A histogram of milliseconds, log-linear after HdrHistogram: exact below 256, within 0.8 % above.

/// Values below are counted one by one.
const EXACT: u64 = 256;
/// Each doubling above is cut into as many parts.
const PARTS: u64 = EXACT / 2;

/// Counts of values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    count: u64,
    max: u64,
}

/// Where a value is counted.
fn index(value: u64) -> usize {
    let index = if value < EXACT {
        value
    } else {
        // 256..512 is the first doubling.
        let doubling = u64::from(value.ilog2()) - 7;
        let part = (value >> doubling) - PARTS;
        EXACT + (doubling - 1) * PARTS + part
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value that is counted at `index`.
fn highest(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let (doubling, part) = ((index - EXACT) / PARTS + 1, (index - EXACT) % PARTS);
    ((part + PARTS + 1) << doubling) - 1
}

impl Histogram {
    pub(crate) fn record(&mut self, value: u64) {
        let index = index(value);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// The value that the share `quantile` of all does not exceed; nothing if there are none.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    pub(crate) fn quantile(&self, quantile: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(highest(index).min(self.max));
            }
        }
        Some(self.max)
    }

    pub(crate) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.record(value));
        assert_eq!(histogram.quantile(0.5), Some(50));
        assert_eq!(histogram.quantile(0.99), Some(99));
        assert_eq!(histogram.quantile(1.0), Some(100));
        assert_eq!(histogram.max(), Some(100));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn every_value_is_counted_near_itself(value in 0_u64..100_000_000) {
            let highest = highest(index(value));
            prop_assert!(highest >= value && highest as f64 <= value as f64 * 1.008 + 0.5, "{value} {highest}");
            prop_assert!(value == 0 || index(value - 1) <= index(value));
        }

        #[test]
        fn a_quantile_is_that_of_the_sorted_values(
            mut values in proptest::collection::vec(0_u64..1_000_000, 1..300), quantile in 0.0_f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let (exact, told) = (values[rank - 1], histogram.quantile(quantile).unwrap());
            prop_assert!(told >= exact && told as f64 <= exact as f64 * 1.008 + 0.5, "{exact} {told}");
        }

        #[test]
        fn two_together_are_as_one(
            left in proptest::collection::vec(0_u64..10_000, 0..50),
            right in proptest::collection::vec(0_u64..10_000, 0..50),
        ) {
            let of = |values: &mut dyn Iterator<Item = &u64>| {
                let mut histogram = Histogram::default();
                values.for_each(|value| histogram.record(*value));
                histogram
            };
            let mut sum = of(&mut left.iter());
            sum.add(&of(&mut right.iter()));
            prop_assert_eq!(sum, of(&mut left.iter().chain(&right)));
        }
    }
}
