//! The layer of [`Concurrency`].

use std::sync::Arc;

use tower::Layer;

use super::{Bulkhead, Concurrency};
use crate::policy::observe::NoObserver;

/// Bounds how many calls of a service are in flight.
#[derive(Debug, Clone)]
pub struct ConcurrencyLayer<O = NoObserver> {
    bulkhead: Option<Arc<Bulkhead>>,
    observer: O,
}

impl ConcurrencyLayer {
    /// Calls share the places of `bulkhead`. Without one (`None`) every call passes.
    pub fn new(bulkhead: impl Into<Option<Arc<Bulkhead>>>) -> Self {
        Self { bulkhead: bulkhead.into(), observer: NoObserver }
    }
}

impl<O> ConcurrencyLayer<O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> ConcurrencyLayer<P> {
        ConcurrencyLayer { bulkhead: self.bulkhead, observer }
    }
}

impl<S, O: Clone> Layer<S> for ConcurrencyLayer<O> {
    type Service = Concurrency<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency { inner, bulkhead: self.bulkhead.clone(), observer: self.observer.clone() }
    }
}
