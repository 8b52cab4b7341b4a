//! The layer of [`Fallback`].

use tower::Layer;

use super::Fallback;
use crate::policy::observe::NoObserver;

/// Answers for calls of a service that failed.
#[derive(Debug, Clone, Copy)]
pub struct FallbackLayer<F, O = NoObserver> {
    substitute: Option<F>,
    observer: O,
}

impl<F> FallbackLayer<F> {
    /// Failures are answered by `substitute`, where it has an answer.
    pub fn new(substitute: F) -> Self {
        Self { substitute: Some(substitute), observer: NoObserver }
    }

    /// The same if there is one; without one every failure passes.
    pub fn maybe(substitute: Option<F>) -> Self {
        Self { substitute, observer: NoObserver }
    }
}

impl<F, O> FallbackLayer<F, O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> FallbackLayer<F, P> {
        FallbackLayer { substitute: self.substitute, observer }
    }
}

impl<S, F: Clone, O: Clone> Layer<S> for FallbackLayer<F, O> {
    type Service = Fallback<S, F, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Fallback { inner, substitute: self.substitute.clone(), observer: self.observer.clone() }
    }
}
