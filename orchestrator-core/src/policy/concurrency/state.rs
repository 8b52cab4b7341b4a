//! The bulkhead: the places of a lane.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::ConcurrencyPolicy;

use crate::policy::places::{Entered, Places};

/// What is told to come back after: when a place becomes free is not known.
pub(super) const BUSY: Duration = Duration::from_secs(1);

/// The places of a lane, shared by all its calls.
#[derive(Debug)]
pub struct Bulkhead {
    places: Arc<Places>,
}

impl Bulkhead {
    /// As many places, and as many turns in the queue, as the policy says.
    pub fn new(policy: &ConcurrencyPolicy) -> Self {
        Self { places: Places::new(policy.max, policy.queue) }
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> u32 {
        self.places.counts().0
    }

    /// Calls that wait for a place.
    pub fn waiting(&self) -> u32 {
        self.places.counts().1
    }

    /// The most calls in flight.
    pub fn max(&self) -> u32 {
        self.places.counts().2
    }

    /// Changes the limits at once. Calls in flight stay and count.
    pub fn resize(&self, policy: &ConcurrencyPolicy) {
        self.places.resize(policy.max, policy.queue);
    }

    pub(super) fn enter(&self, may_wait: bool) -> Entered {
        self.places.enter(may_wait)
    }
}
