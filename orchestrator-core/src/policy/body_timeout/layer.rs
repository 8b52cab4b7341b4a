//! The layer of [`BodyTimeout`].

use std::time::Duration;

use tower::Layer;

use super::BodyTimeout;
use crate::policy::observe::NoObserver;

/// Bounds the bodies of a service's answers by a timeout.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeoutLayer<O = NoObserver> {
    total: Duration,
    observer: O,
}

impl BodyTimeoutLayer {
    /// Every body ends within `total` after its call began; a request may shorten it.
    pub fn new(total: Duration) -> Self {
        Self { total, observer: NoObserver }
    }
}

impl<O> BodyTimeoutLayer<O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> BodyTimeoutLayer<P> {
        BodyTimeoutLayer { total: self.total, observer }
    }
}

impl<S, O: Clone> Layer<S> for BodyTimeoutLayer<O> {
    type Service = BodyTimeout<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyTimeout { inner, total: self.total, observer: self.observer.clone() }
    }
}
