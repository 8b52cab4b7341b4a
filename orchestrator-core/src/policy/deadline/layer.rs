//! The layer of [`Deadline`].

use std::time::Duration;

use tower::Layer;

use super::Deadline;
use crate::policy::observe::NoObserver;

/// Bounds each call of a service by a total deadline.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer<O = NoObserver> {
    total: Duration,
    observer: O,
}

impl DeadlineLayer {
    /// Every call ends within `total`; a request may shorten it.
    pub fn new(total: Duration) -> Self {
        Self { total, observer: NoObserver }
    }
}

impl<O> DeadlineLayer<O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> DeadlineLayer<P> {
        DeadlineLayer { total: self.total, observer }
    }
}

impl<S, O: Clone> Layer<S> for DeadlineLayer<O> {
    type Service = Deadline<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, total: self.total, observer: self.observer.clone() }
    }
}
