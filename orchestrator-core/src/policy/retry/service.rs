//! The service of the retries.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::ResponseFuture;
use super::state::Plan;
use crate::policy::backoff::{Exponential, Schedule};
use crate::policy::classify::Classify;
use crate::policy::observe::{NoObserver, Observe};
use crate::policy::request::PolicyRequest;

/// Makes a failed call again.
#[derive(Debug)]
pub struct Retry<S, C, O = NoObserver, B = Exponential> {
    pub(super) inner: S,
    pub(super) plan: Arc<Plan<B>>,
    pub(super) classify: C,
    pub(super) observer: O,
}

impl<S, C, O, B> Retry<S, C, O, B> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the retries.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, C: Clone, O: Clone, B> Clone for Retry<S, C, O, B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            plan: Arc::clone(&self.plan),
            classify: self.classify.clone(),
            observer: self.observer.clone(),
        }
    }
}

impl<S, C, O, B, Req> Service<Req> for Retry<S, C, O, B>
where
    S: Service<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    O: Observe<Req>,
    B: Schedule,
    Req: PolicyRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C, O::Scope, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        if !request.is_retry() {
            self.plan.budget.deposit();
        }
        let scope = self.observer.scope(&request);
        ResponseFuture::new(&mut self.inner, request, Arc::clone(&self.plan), self.classify.clone(), scope)
    }
}
