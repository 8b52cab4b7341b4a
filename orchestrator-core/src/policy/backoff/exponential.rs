//! The exponential schedule with jitter, after Brooker's "Exponential Backoff and Jitter".

use std::time::Duration;

use orchestrator_types::{Jitter, JobRetryPolicy, RetryPolicy};

use super::Schedule;

/// Waits that grow by a factor up to a bound, spread by jitter so that callers do not come back together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    /// The first wait, before jitter.
    pub initial: Duration,
    /// No wait is longer, a `Retry-After` included.
    pub max: Duration,
    /// By how much the wait grows. What is not a number above one keeps it as it is.
    pub multiplier: f64,
    /// How a wait is spread.
    pub jitter: Jitter,
}

impl Exponential {
    /// The wait after attempt `attempt`, before jitter.
    fn base(&self, attempt: u32) -> Duration {
        let steps = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        // `f64::max` also turns a NaN into 1. The product may be infinite, which the conversion refuses.
        let seconds = self.initial.as_secs_f64() * self.multiplier.max(1.0).powi(steps);
        Duration::try_from_secs_f64(seconds)
            .map_or_else(|_| if self.initial.is_zero() { Duration::ZERO } else { self.max }, |wait| wait.min(self.max))
    }
}

impl Schedule for Exponential {
    fn delay(&self, attempt: u32, previous: Duration, random: &mut fastrand::Rng) -> Duration {
        let base = self.base(attempt);
        match self.jitter {
            Jitter::None => base,
            Jitter::Equal => {
                let half = base / 2;
                half + between(Duration::ZERO, base - half, random)
            }
            Jitter::Decorrelated => {
                let low = self.initial.min(self.max);
                let high = previous.max(low).saturating_mul(3).min(self.max);
                between(low, high, random)
            }
            // Full, and whatever is added to the list later: the spread that serves an upstream best.
            _ => between(Duration::ZERO, base, random),
        }
    }

    fn honour(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.max)
    }
}

/// A wait between `low` and `high`, both included.
fn between(low: Duration, high: Duration, random: &mut fastrand::Rng) -> Duration {
    let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
    low + Duration::from_nanos(random.u64(0..=span))
}

/// The waits of a policy without numbers.
impl Default for Exponential {
    fn default() -> Self {
        Self::from(&RetryPolicy::default())
    }
}

impl From<&RetryPolicy> for Exponential {
    fn from(policy: &RetryPolicy) -> Self {
        Self {
            initial: Duration::from_millis(policy.initial_ms),
            max: Duration::from_millis(policy.max_ms),
            multiplier: policy.multiplier,
            jitter: policy.jitter,
        }
    }
}

impl From<&JobRetryPolicy> for Exponential {
    fn from(policy: &JobRetryPolicy) -> Self {
        Self {
            initial: Duration::from_millis(policy.initial_ms),
            max: Duration::from_millis(policy.max_ms),
            multiplier: policy.multiplier,
            jitter: policy.jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jitters() -> impl Strategy<Value = Jitter> {
        prop_oneof![Just(Jitter::Full), Just(Jitter::Equal), Just(Jitter::Decorrelated), Just(Jitter::None)]
    }

    fn with(jitter: Jitter) -> Exponential {
        Exponential { initial: Duration::from_millis(100), max: Duration::from_secs(2), multiplier: 2.0, jitter }
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_bound(
            initial in 0_u64..10_000, max in 0_u64..100_000, multiplier in proptest::num::f64::ANY,
            attempt in any::<u32>(), previous in 0_u64..1_000_000, jitter in jitters(), seed in any::<u64>(),
        ) {
            let schedule = Exponential {
                initial: Duration::from_millis(initial),
                max: Duration::from_millis(max),
                multiplier,
                jitter,
            };
            let mut random = fastrand::Rng::with_seed(seed);
            let wait = schedule.delay(attempt, Duration::from_millis(previous), &mut random);
            prop_assert!(wait <= schedule.max);
        }

        #[test]
        fn each_jitter_stays_in_its_range(attempt in 1_u32..12, previous in 0_u64..4_000, seed in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(seed);
            let previous = Duration::from_millis(previous);
            let base = with(Jitter::None).delay(attempt, previous, &mut random);
            let full = with(Jitter::Full).delay(attempt, previous, &mut random);
            let equal = with(Jitter::Equal).delay(attempt, previous, &mut random);
            let decorrelated = with(Jitter::Decorrelated).delay(attempt, previous, &mut random);
            prop_assert!(full <= base);
            prop_assert!(equal >= base / 2 && equal <= base);
            prop_assert!(decorrelated >= Duration::from_millis(100));
            prop_assert!(decorrelated <= (previous.max(Duration::from_millis(100)) * 3).min(Duration::from_secs(2)));
        }
    }

    #[test]
    fn full_jitter_spreads_over_the_whole_range() {
        let mut random = fastrand::Rng::with_seed(1);
        let waits: Vec<_> = (0..1_000).map(|_| with(Jitter::Full).delay(1, Duration::ZERO, &mut random)).collect();
        let below = waits.iter().filter(|wait| **wait < Duration::from_millis(50)).count();
        assert!((400..600).contains(&below), "{below} of 1000 in the lower half");
    }

    #[test]
    fn a_retry_after_is_clamped_to_the_bound() {
        assert_eq!(with(Jitter::Full).honour(Duration::from_secs(600)), Duration::from_secs(2));
        assert_eq!(with(Jitter::Full).honour(Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn the_default_job_schedule_reaches_its_bound_and_stays_there() {
        let schedule = Exponential { jitter: Jitter::None, ..Exponential::from(&JobRetryPolicy::default()) };
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(schedule.delay(1, Duration::ZERO, &mut random), Duration::from_secs(1));
        assert_eq!(schedule.delay(3, Duration::ZERO, &mut random), Duration::from_secs(9));
        assert_eq!(schedule.delay(u32::MAX, Duration::ZERO, &mut random), Duration::from_secs(3_600));
    }
}
