//! How long the upstream works on a request.

use std::f64::consts::TAU;

use crate::scenario::Latency;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;
/// Nothing takes longer than so many times the 99th percentile.
const TAIL: f64 = 10.0;

/// A log-normal distribution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Distribution {
    median: f64,
    sigma: f64,
    longest: f64,
}

impl Distribution {
    pub(crate) fn new(latency: &Latency) -> Self {
        let sigma = if latency.p50_ms > 0.0 { (latency.p99_ms / latency.p50_ms).ln() / Z99 } else { 0.0 };
        Self { median: latency.p50_ms, sigma, longest: latency.p99_ms * TAIL }
    }

    /// A sample, in nanoseconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, and `as` saturates")]
    pub(crate) fn sample(&self, random: &mut fastrand::Rng) -> u64 {
        let millis = (self.median * (self.sigma * normal(random)).exp()).min(self.longest);
        (millis * 1e6) as u64
    }
}

/// A sample of the standard normal distribution, after Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    // In (0, 1]: the logarithm of zero is none.
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_quantiles_are_those_that_were_asked_for() {
        let distribution = Distribution::new(&Latency { p50_ms: 40.0, p99_ms: 160.0 });
        let mut random = fastrand::Rng::with_seed(1);
        let mut samples: Vec<u64> = (0..100_000).map(|_| distribution.sample(&mut random)).collect();
        samples.sort_unstable();
        let (median, p99) = (samples[50_000] as f64 / 1e6, samples[99_000] as f64 / 1e6);
        assert!((39.0..41.0).contains(&median), "{median}");
        assert!((152.0..168.0).contains(&p99), "{p99}");
    }

    #[test]
    fn one_quantile_for_both_is_always_the_same() {
        let mut random = fastrand::Rng::with_seed(1);
        for millis in [0.0, 25.0] {
            let distribution = Distribution::new(&Latency { p50_ms: millis, p99_ms: millis });
            assert!((0..100).all(|_| distribution.sample(&mut random) == (millis * 1e6) as u64));
        }
    }
}
