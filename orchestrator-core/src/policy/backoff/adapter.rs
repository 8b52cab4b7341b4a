//! Between our [`Schedule`] and the `backoff` crate's `Backoff`, both ways, for whoever builds on that crate.

use std::time::Duration;

use backoff::backoff::Backoff;

use super::Schedule;

/// A `backoff` crate's `Backoff`, used as a [`Schedule`].
///
/// A `Backoff` counts by itself and a schedule does not, so each wait is read off a fresh clone: wait number *n* is what
/// its *n*-th `next_backoff` answers. Its own end (`None`) ends the retries.
#[derive(Debug, Clone)]
pub struct FromBackoff<B> {
    backoff: B,
    max: Duration,
}

impl<B> FromBackoff<B> {
    /// Uses `backoff`; no wait is longer than `max`, a `Retry-After` included.
    pub fn new(backoff: B, max: Duration) -> Self {
        Self { backoff, max }
    }

    /// The `Backoff` again.
    pub fn into_inner(self) -> B {
        self.backoff
    }
}

impl<B: Backoff + Clone> Schedule for FromBackoff<B> {
    fn delay(&self, attempt: u32, _previous: Duration, _random: &mut fastrand::Rng) -> Duration {
        let mut backoff = self.backoff.clone();
        backoff.reset();
        for _ in 1..attempt {
            if backoff.next_backoff().is_none() {
                return Duration::MAX;
            }
        }
        backoff.next_backoff().map_or(Duration::MAX, |wait| wait.min(self.max))
    }

    fn honour(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.max)
    }
}

/// A [`Schedule`], used as a `Backoff` of the `backoff` crate.
#[derive(Debug, Clone)]
pub struct IntoBackoff<S> {
    schedule: S,
    max_attempts: u32,
    attempt: u32,
    previous: Duration,
    random: fastrand::Rng,
}

impl<S> IntoBackoff<S> {
    /// Uses `schedule` for at most `max_attempts` attempts, the first included.
    pub fn new(schedule: S, max_attempts: u32) -> Self {
        Self { schedule, max_attempts, attempt: 0, previous: Duration::ZERO, random: fastrand::Rng::new() }
    }

    /// The schedule again.
    pub fn into_inner(self) -> S {
        self.schedule
    }
}

impl<S: Schedule> Backoff for IntoBackoff<S> {
    fn reset(&mut self) {
        self.attempt = 0;
        self.previous = Duration::ZERO;
    }

    fn next_backoff(&mut self) -> Option<Duration> {
        self.attempt = self.attempt.saturating_add(1);
        if self.attempt >= self.max_attempts {
            return None;
        }
        let wait = self.schedule.delay(self.attempt, self.previous, &mut self.random);
        if wait == Duration::MAX {
            return None;
        }
        self.previous = wait;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use backoff::backoff::{Constant, Stop};
    use orchestrator_types::Jitter;

    use super::super::Exponential;
    use super::*;

    #[test]
    fn a_schedule_serves_as_a_backoff_until_its_attempts_are_used() {
        let schedule = Exponential {
            initial: Duration::from_millis(10),
            max: Duration::from_secs(1),
            multiplier: 2.0,
            jitter: Jitter::None,
        };
        let mut backoff = IntoBackoff::new(schedule, 3);
        assert_eq!(backoff.next_backoff(), Some(Duration::from_millis(10)));
        assert_eq!(backoff.next_backoff(), Some(Duration::from_millis(20)));
        assert_eq!(backoff.next_backoff(), None);
        backoff.reset();
        assert_eq!(backoff.next_backoff(), Some(Duration::from_millis(10)));
    }

    // `Constant` and `Stop` of the crate are not `Clone`.
    #[derive(Clone)]
    struct Twice(u32);

    impl Backoff for Twice {
        fn reset(&mut self) {
            self.0 = 0;
        }

        fn next_backoff(&mut self) -> Option<Duration> {
            self.0 += 1;
            if self.0 > 2 {
                Stop {}.next_backoff()
            } else {
                Constant::new(Duration::from_secs(u64::from(self.0))).next_backoff()
            }
        }
    }

    #[test]
    fn a_backoff_serves_as_a_schedule_and_its_end_ends_the_retries() {
        let schedule = FromBackoff::new(Twice(0), Duration::from_millis(1_500));
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(schedule.delay(1, Duration::ZERO, &mut random), Duration::from_secs(1));
        assert_eq!(schedule.delay(2, Duration::ZERO, &mut random), Duration::from_millis(1_500));
        assert_eq!(schedule.delay(3, Duration::ZERO, &mut random), Duration::MAX);
    }
}
