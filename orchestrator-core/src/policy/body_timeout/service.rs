//! The service of the body's timeout.

use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;

use super::{ResponseFuture, TimeoutBody};
use crate::policy::observe::{NoObserver, Observe};
use crate::policy::request::{PolicyRequest, Until};

/// Bounds the bodies of answers by a timeout.
#[derive(Debug, Clone)]
pub struct BodyTimeout<S, O = NoObserver> {
    pub(super) inner: S,
    pub(super) total: Duration,
    pub(super) observer: O,
}

impl<S, O> BodyTimeout<S, O> {
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

impl<S, O, Req, B> Service<Req> for BodyTimeout<S, O>
where
    S: Service<Req, Response = http::Response<B>>,
    Req: PolicyRequest,
    O: Observe<Req>,
{
    type Response = http::Response<TimeoutBody<B, O::Scope>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let scope = self.observer.scope(&request);
        let until = Until::of(&request, self.total);
        ResponseFuture::new(self.inner.call(request), until, scope)
    }
}
