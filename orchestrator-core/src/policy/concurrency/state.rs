//! The bulkhead: the places of a lane, and how many there are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{AdaptivePolicy, ConcurrencyPolicy};
use tokio::time::Instant;

use super::gradient::{Gradient, Sample};
use crate::policy::places::{Entered, Places};
use crate::policy::sync::atomic::{AtomicBool, Ordering};
use crate::policy::sync::{Mutex, MutexGuard, PoisonError};

/// What is told to come back after: when a place becomes free is not known.
pub(super) const BUSY: Duration = Duration::from_secs(1);

/// The places of a lane, shared by all its calls. Fixed, or adaptive: then there are between the policy's `adaptive.min` and
/// `max` of them, as many as the upstream bears.
pub struct Bulkhead {
    places: Arc<Places>,
    // Beside the lock, so that a fixed limit never takes it.
    adapts: AtomicBool,
    adaptive: Mutex<Option<Box<Adaptive>>>,
}

struct Adaptive {
    policy: AdaptivePolicy,
    max: u32,
    queue: u32,
    gradient: Gradient,
}

impl Adaptive {
    fn new(policy: &ConcurrencyPolicy) -> Option<Box<Self>> {
        let adaptive = policy.adaptive.as_ref()?;
        let gradient = Gradient::new(adaptive, policy.max);
        Some(Box::new(Self { policy: adaptive.clone(), max: policy.max, queue: policy.queue, gradient }))
    }
}

impl Bulkhead {
    /// As many places, and as many turns in the queue, as the policy says.
    #[must_use]
    pub fn new(policy: &ConcurrencyPolicy) -> Self {
        let adaptive = Adaptive::new(policy);
        let max = adaptive.as_ref().map_or(policy.max, |adaptive| adaptive.gradient.limit());
        let adapts = AtomicBool::new(adaptive.is_some());
        Self { places: Places::new(max, policy.queue), adapts, adaptive: Mutex::new(adaptive) }
    }

    /// `max` calls in flight, `queue` more may wait; to be shared.
    #[must_use]
    pub fn fixed(max: u32, queue: u32) -> Arc<Self> {
        Arc::new(Self::new(&ConcurrencyPolicy { max, queue, adaptive: None }))
    }

    /// Between `min` and `max` calls in flight, as many as the upstream bears, and `queue` more may wait; to be shared. Give the
    /// layer a classifier, so that it learns from failures as well.
    #[must_use]
    pub fn adaptive(min: u32, max: u32, queue: u32) -> Arc<Self> {
        let adaptive = Some(AdaptivePolicy { min, ..AdaptivePolicy::default() });
        Arc::new(Self::new(&ConcurrencyPolicy { max, queue, adaptive }))
    }

    /// Calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.places.counts().0
    }

    /// Calls that wait for a place.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.places.counts().1
    }

    /// The most calls in flight now.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.places.counts().2
    }

    /// Changes the limits at once. Calls in flight stay and count. What an adaptive limit has found it keeps, where only its
    /// queue changes.
    pub fn resize(&self, policy: &ConcurrencyPolicy) {
        let max = {
            let mut adaptive = self.lock();
            match (&mut *adaptive, &policy.adaptive) {
                (Some(known), Some(wanted)) if known.policy == *wanted && known.max == policy.max => {
                    known.queue = policy.queue;
                }
                (known, _) => *known = Adaptive::new(policy),
            }
            self.adapts.store(adaptive.is_some(), Ordering::Relaxed);
            adaptive.as_ref().map_or(policy.max, |adaptive| adaptive.gradient.limit())
        };
        self.places.resize(max, policy.queue);
    }

    pub(super) fn enter(&self, may_wait: bool) -> Entered {
        self.places.enter(may_wait)
    }

    /// Whether it adapts: only then calls have to be measured.
    pub(super) fn adapts(&self) -> bool {
        self.adapts.load(Ordering::Relaxed)
    }

    /// Takes how a call went, and changes the number of places with it.
    pub(super) fn sample(&self, sample: Sample) {
        let now = Instant::now();
        let changed = match &mut *self.lock() {
            Some(adaptive) => adaptive.gradient.sample(sample, now).map(|max| (max, adaptive.queue)),
            None => None,
        };
        if let Some((max, queue)) = changed {
            self.places.resize(max, queue);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Adaptive>>> {
        // Nothing in there panics halfway through a change, so a poisoned lock still guards a sound value.
        self.adaptive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead").field("places", &self.places).finish_non_exhaustive()
    }
}
