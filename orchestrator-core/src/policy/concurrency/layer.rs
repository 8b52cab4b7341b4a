//! The layer of [`Concurrency`].

use std::sync::Arc;

use tower::Layer;

use super::{Bulkhead, Concurrency};
use crate::policy::classify::ClassifyAnswers;
use crate::policy::observe::NoObserver;

/// Bounds how many calls of a service are in flight.
#[derive(Debug, Clone)]
pub struct ConcurrencyLayer<C = ClassifyAnswers, O = NoObserver> {
    bulkhead: Option<Arc<Bulkhead>>,
    classify: C,
    observer: O,
}

impl ConcurrencyLayer {
    /// Calls share the places of `bulkhead`. Without one (`None`) every call passes.
    pub fn new(bulkhead: impl Into<Option<Arc<Bulkhead>>>) -> Self {
        Self { bulkhead: bulkhead.into(), classify: ClassifyAnswers, observer: NoObserver }
    }
}

impl<C, O> ConcurrencyLayer<C, O> {
    /// Lets an adaptive limit learn from failures too: `classify` tells what one is. Without it answers alone count.
    pub fn classified_by<D>(self, classify: D) -> ConcurrencyLayer<D, O> {
        ConcurrencyLayer { bulkhead: self.bulkhead, classify, observer: self.observer }
    }

    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> ConcurrencyLayer<C, P> {
        ConcurrencyLayer { bulkhead: self.bulkhead, classify: self.classify, observer }
    }
}

impl<S, C: Clone, O: Clone> Layer<S> for ConcurrencyLayer<C, O> {
    type Service = Concurrency<S, C, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency {
            inner,
            bulkhead: self.bulkhead.clone(),
            classify: self.classify.clone(),
            observer: self.observer.clone(),
        }
    }
}
