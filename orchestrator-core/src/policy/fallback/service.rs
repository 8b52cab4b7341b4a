//! The service of the fallback.

use std::task::{Context, Poll};

use tower::Service;

use super::ResponseFuture;
use crate::policy::observe::{NoObserver, Observe};

/// Answers for calls that failed.
#[derive(Debug, Clone)]
pub struct Fallback<S, F, O = NoObserver> {
    pub(super) inner: S,
    pub(super) substitute: Option<F>,
    pub(super) observer: O,
}

/// Has an answer for a failure, or not. A function of the request and the error is one.
pub trait Substitute<Req, Res, Err> {
    /// The answer in place of `error`; `None` lets the error pass.
    fn substitute(&self, request: &Req, error: &Err) -> Option<Res>;
}

impl<F, Req, Res, Err> Substitute<Req, Res, Err> for F
where
    F: Fn(&Req, &Err) -> Option<Res>,
{
    fn substitute(&self, request: &Req, error: &Err) -> Option<Res> {
        self(request, error)
    }
}

impl<S, F, O> Fallback<S, F, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the fallback.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, O, Req> Service<Req> for Fallback<S, F, O>
where
    S: Service<Req>,
    F: Substitute<Req, S::Response, S::Error> + Clone,
    O: Observe<Req>,
    Req: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, F, Req, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let instead = self.substitute.as_ref().map(|substitute| {
            let scope = self.observer.scope(&request);
            (substitute.clone(), request.clone(), scope)
        });
        ResponseFuture::new(self.inner.call(request), instead)
    }
}
