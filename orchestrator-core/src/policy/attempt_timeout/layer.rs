//! The layer of [`AttemptTimeout`].

use std::time::Duration;

use tower::Layer;

use super::AttemptTimeout;
use crate::policy::observe::NoObserver;

/// Bounds each attempt by a timeout.
#[derive(Debug, Clone, Copy)]
pub struct AttemptTimeoutLayer<O = NoObserver> {
    timeout: Duration,
    observer: O,
}

impl AttemptTimeoutLayer {
    /// Every attempt ends within `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, observer: NoObserver }
    }
}

impl<O> AttemptTimeoutLayer<O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> AttemptTimeoutLayer<P> {
        AttemptTimeoutLayer { timeout: self.timeout, observer }
    }
}

impl<S, O: Clone> Layer<S> for AttemptTimeoutLayer<O> {
    type Service = AttemptTimeout<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        AttemptTimeout { inner, timeout: self.timeout, observer: self.observer.clone() }
    }
}
