//! The layer of [`Breaker`].

use std::sync::Arc;

use tower::Layer;

use super::{Breaker, CircuitBreaker};
use crate::policy::observe::NoObserver;

/// Refuses calls of a service while it fails.
#[derive(Debug, Clone)]
pub struct BreakerLayer<C, O = NoObserver> {
    state: Option<Arc<CircuitBreaker>>,
    classify: C,
    observer: O,
}

impl<C> BreakerLayer<C> {
    /// Calls share `state`, and `classify` tells what is a failure. Without a state (`None`) every call passes.
    pub fn new(state: impl Into<Option<Arc<CircuitBreaker>>>, classify: C) -> Self {
        Self { state: state.into(), classify, observer: NoObserver }
    }
}

impl<C, O> BreakerLayer<C, O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> BreakerLayer<C, P> {
        BreakerLayer { state: self.state, classify: self.classify, observer }
    }
}

impl<S, C: Clone, O: Clone> Layer<S> for BreakerLayer<C, O> {
    type Service = Breaker<S, C, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaker { inner, state: self.state.clone(), classify: self.classify.clone(), observer: self.observer.clone() }
    }
}
