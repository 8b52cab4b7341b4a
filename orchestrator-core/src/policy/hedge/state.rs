//! What a lane knows of how long its attempts take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::HedgePolicy;

use super::latency::Latencies;
use crate::policy::sync::{Mutex, MutexGuard, PoisonError};

/// When the attempts of a lane are hedged, shared by all its calls.
pub struct Hedging {
    quantile: f64,
    min: Duration,
    latencies: Mutex<Latencies>,
}

impl Hedging {
    /// Nothing is known at first, and nothing hedged.
    #[must_use]
    pub fn new(policy: &HedgePolicy) -> Self {
        Self {
            quantile: policy.quantile,
            min: Duration::from_millis(policy.min_ms),
            latencies: Mutex::new(Latencies::new()),
        }
    }

    /// After the latency that the share `quantile` of the attempts is answered within, and never sooner than `min`; to be
    /// shared.
    #[must_use]
    pub fn at(quantile: f64, min: Duration) -> Arc<Self> {
        Arc::new(Self { quantile, min, latencies: Mutex::new(Latencies::new()) })
    }

    /// After how long an attempt is hedged; `None` while too little is known.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        let quantile = self.lock().quantile(self.quantile)?;
        Some(quantile.max(self.min))
    }

    /// Takes how long an attempt took that was answered.
    pub(super) fn record(&self, took: Duration) {
        self.lock().record(took);
    }

    fn lock(&self) -> MutexGuard<'_, Latencies> {
        // Nothing in there panics halfway through a change, so a poisoned lock still guards a sound value.
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hedging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedging").field("delay", &self.delay()).finish_non_exhaustive()
    }
}
