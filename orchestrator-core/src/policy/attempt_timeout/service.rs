//! The service of the attempt's timeout.

use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;

use super::ResponseFuture;
use crate::policy::observe::{NoObserver, Observe};
use crate::policy::rejection::AttemptTimedOut;

/// Bounds each attempt by a timeout.
#[derive(Debug, Clone)]
pub struct AttemptTimeout<S, O = NoObserver> {
    pub(super) inner: S,
    pub(super) timeout: Duration,
    pub(super) observer: O,
}

impl<S, O> AttemptTimeout<S, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the timeout.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, O, Req> Service<Req> for AttemptTimeout<S, O>
where
    S: Service<Req>,
    S::Error: From<AttemptTimedOut>,
    O: Observe<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let scope = self.observer.scope(&request);
        ResponseFuture::new(self.inner.call(request), self.timeout, scope)
    }
}
