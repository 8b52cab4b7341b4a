//! The service of the total deadline.

use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;

use super::ResponseFuture;
use crate::policy::moment::Section;
use crate::policy::observe::{NoObserver, Observe};
use crate::policy::rejection::DeadlineExceeded;
use crate::policy::request::{PolicyRequest, Until};

/// Bounds each call by a total deadline.
#[derive(Debug, Clone)]
pub struct Deadline<S, O = NoObserver> {
    pub(super) inner: S,
    pub(super) total: Duration,
    pub(super) observer: O,
}

impl<S, O> Deadline<S, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the deadline.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, O, Req> Service<Req> for Deadline<S, O>
where
    S: Service<Req>,
    S::Error: From<DeadlineExceeded>,
    Req: PolicyRequest,
    O: Observe<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // From here to the service itself it is one moment.
        let _moment = Section::open();
        let scope = self.observer.scope(&request);
        let until = Until::of(&request, self.total);
        ResponseFuture::new(self.inner.call(request), until, scope)
    }
}
