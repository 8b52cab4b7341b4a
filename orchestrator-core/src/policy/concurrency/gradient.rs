//! How an adaptive limit finds its number: pure, after Netflix's Gradient2 ("Performance Under Load", 2018).
//!
//! While calls take no longer than usual the limit creeps up, by a little more than nothing, so that it always tries; when
//! they take longer it shrinks by as much, and when they fail by a tenth. What is usual is a slow average of how long calls
//! took; what is now, the mean of a short stretch of them.

use std::time::Duration;

use orchestrator_types::AdaptivePolicy;
use tokio::time::Instant;

/// A stretch has at least so many calls, and lasts at least so long: one call says little.
const STRETCH_CALLS: u32 = 10;
const STRETCH: Duration = Duration::from_millis(100);
/// How much one stretch counts in the slow average, after the first few, which make it.
const USUAL: f64 = 1.0 / 600.0;
const FIRST_FEW: u32 = 10;
/// How much one stretch counts in the change of the limit.
const SMOOTHING: f64 = 0.2;
/// Failures shrink the limit by this.
const BACK_OFF: f64 = 0.9;
/// One stretch shrinks the limit by no more than half.
const STEEPEST: f64 = 0.5;

/// The limit, and what it is found from.
#[derive(Debug)]
pub(crate) struct Gradient {
    min: f64,
    max: f64,
    tolerance: f64,
    limit: f64,
    /// How long calls usually take, in seconds, and how many stretches made it, up to the first few.
    usual: (f64, u32),
    stretch: Stretch,
}

#[derive(Debug)]
struct Stretch {
    since: Option<Instant>,
    answered: u32,
    failed: u32,
    seconds: f64,
    most_in_flight: u32,
}

impl Stretch {
    const EMPTY: Self = Self { since: None, answered: 0, failed: 0, seconds: 0.0, most_in_flight: 0 };
}

/// How a call went that held a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) took: Duration,
    pub(crate) failed: bool,
    /// When it began, itself included.
    pub(crate) in_flight: u32,
}

impl Gradient {
    /// Begins at half of `max`.
    pub(crate) fn new(policy: &AdaptivePolicy, max: u32) -> Self {
        let max = f64::from(max.max(1));
        let min = f64::from(policy.min.max(1)).min(max);
        Self {
            min,
            max,
            tolerance: policy.tolerance.max(1.0),
            limit: (max / 2.0).max(min),
            usual: (0.0, 0),
            stretch: Stretch::EMPTY,
        }
    }

    /// The limit now.
    pub(crate) fn limit(&self) -> u32 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between min and max, which are u32"
        )]
        let limit = self.limit as u32;
        limit.max(1)
    }

    /// Takes a sample; tells the new limit if it changed.
    pub(crate) fn sample(&mut self, sample: Sample, now: Instant) -> Option<u32> {
        let stretch = &mut self.stretch;
        let since = *stretch.since.get_or_insert(now);
        stretch.most_in_flight = stretch.most_in_flight.max(sample.in_flight);
        if sample.failed {
            stretch.failed += 1;
        } else {
            stretch.answered += 1;
            stretch.seconds += sample.took.as_secs_f64();
        }
        if stretch.answered + stretch.failed < STRETCH_CALLS || now.saturating_duration_since(since) < STRETCH {
            return None;
        }
        let before = self.limit();
        let stretch = std::mem::replace(&mut self.stretch, Stretch::EMPTY);
        self.adapt(&stretch);
        (self.limit() != before).then(|| self.limit())
    }

    fn adapt(&mut self, stretch: &Stretch) {
        // One failure in a stretch may be anything; a tenth of it is the upstream.
        if stretch.failed * 10 >= stretch.answered + stretch.failed {
            self.limit = (self.limit * BACK_OFF).max(self.min);
            return;
        }
        let now = (stretch.seconds / f64::from(stretch.answered)).max(1e-9);
        let (usual, made_of) = self.usual;
        let weight = if made_of < FIRST_FEW { 1.0 / f64::from(made_of + 1) } else { USUAL };
        let usual = usual + (now - usual) * weight;
        // After a long slow time what was usual then must not hold the limit up.
        let usual = if usual > 2.0 * now { usual * 0.95 } else { usual };
        self.usual = (usual, (made_of + 1).min(FIRST_FEW));
        // Where less than half of the places are used, how long calls take says nothing about the limit.
        if f64::from(stretch.most_in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (self.tolerance * usual / now).clamp(STEEPEST, 1.0);
        let wanted = self.limit * gradient + self.limit.sqrt();
        self.limit = (self.limit + (wanted - self.limit) * SMOOTHING).clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIN: u32 = 4;
    const MAX: u32 = 200;

    fn gradient() -> Gradient {
        Gradient::new(&AdaptivePolicy { min: MIN, tolerance: 1.5 }, MAX)
    }

    /// Some seconds of calls on an upstream that does `capacity` at once in 20 ms, and takes longer in proportion beyond it.
    fn play(gradient: &mut Gradient, now: &mut Instant, seconds: u32, capacity: u32, failing: bool) {
        for _ in 0..seconds * 10 {
            let in_flight = gradient.limit();
            let took = Duration::from_millis(20) * in_flight.max(capacity) / capacity;
            for _ in 0..STRETCH_CALLS {
                gradient.sample(Sample { took, failed: failing, in_flight }, *now);
            }
            *now += STRETCH;
        }
    }

    #[test]
    fn it_grows_while_calls_take_no_longer_than_usual() {
        let (mut gradient, mut now) = (gradient(), Instant::now());
        play(&mut gradient, &mut now, 60, MAX, false);
        assert_eq!(gradient.limit(), MAX);
    }

    #[test]
    fn it_finds_a_number_near_what_the_upstream_can_do() {
        let (mut gradient, mut now) = (gradient(), Instant::now());
        play(&mut gradient, &mut now, 5, MAX, false);
        // The upstream has lost most of its power.
        play(&mut gradient, &mut now, 10, 20, false);
        let found = gradient.limit();
        assert!((15..=60).contains(&found), "{found}");
    }

    #[test]
    fn failures_shrink_it_down_to_its_least_and_it_comes_back_by_itself() {
        let (mut gradient, mut now) = (gradient(), Instant::now());
        play(&mut gradient, &mut now, 10, MAX, true);
        assert_eq!(gradient.limit(), MIN);
        play(&mut gradient, &mut now, 60, MAX, false);
        assert_eq!(gradient.limit(), MAX);
    }

    #[test]
    fn a_lane_that_is_hardly_used_keeps_its_limit() {
        let (mut gradient, mut now) = (gradient(), Instant::now());
        for took in [20, 200, 20, 2_000] {
            for _ in 0..100 {
                gradient.sample(Sample { took: Duration::from_millis(took), failed: false, in_flight: 1 }, now);
                now += Duration::from_millis(20);
            }
        }
        assert_eq!(gradient.limit(), MAX / 2);
    }

    proptest! {
        #[test]
        fn whatever_comes_it_stays_within_its_bounds(
            min in 0_u32..300, max in 0_u32..300, tolerance in proptest::num::f64::ANY,
            samples in proptest::collection::vec((0_u64..10_000_000, any::<bool>(), 0_u32..1_000, 0_u64..200), 0..500),
        ) {
            let mut gradient = Gradient::new(&AdaptivePolicy { min, tolerance }, max);
            let mut now = Instant::now();
            for (took, failed, in_flight, wait) in samples {
                gradient.sample(Sample { took: Duration::from_micros(took), failed, in_flight }, now);
                now += Duration::from_millis(wait);
                let limit = gradient.limit();
                prop_assert!((min.max(1).min(max.max(1))..=max.max(1)).contains(&limit), "{limit}");
            }
        }
    }
}
