//! The layer of [`RateLimit`].

use std::sync::Arc;
use std::time::Duration;

use tower::Layer;

use super::{Limiter, RateLimit};
use crate::policy::observe::NoObserver;

/// Bounds how often a service is called.
#[derive(Debug, Clone)]
pub struct RateLimitLayer<O = NoObserver> {
    limiter: Option<Arc<Limiter>>,
    longest_wait: Option<Duration>,
    observer: O,
}

impl RateLimitLayer {
    /// Calls share `limiter`, and one over it is refused at once. Without one (`None`) every call passes.
    pub fn new(limiter: impl Into<Option<Arc<Limiter>>>) -> Self {
        Self { limiter: limiter.into(), longest_wait: None, observer: NoObserver }
    }
}

impl<O> RateLimitLayer<O> {
    /// A call over the limit waits, if its turn can come within `longest`; the request may shorten it.
    #[must_use]
    pub fn waiting_up_to(self, longest: Duration) -> Self {
        Self { longest_wait: Some(longest), ..self }
    }

    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> RateLimitLayer<P> {
        RateLimitLayer { limiter: self.limiter, longest_wait: self.longest_wait, observer }
    }
}

impl<S, O: Clone> Layer<S> for RateLimitLayer<O> {
    type Service = RateLimit<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit {
            inner,
            limiter: self.limiter.clone(),
            longest_wait: self.longest_wait,
            observer: self.observer.clone(),
        }
    }
}
