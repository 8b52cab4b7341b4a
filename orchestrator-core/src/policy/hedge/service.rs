//! The service of the hedging.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::future::{ResponseFuture, Watched};
use super::state::Hedging;
use crate::policy::classify::Classify;
use crate::policy::observe::{NoObserver, Observe};
use crate::policy::request::PolicyRequest;
use crate::policy::retry::Budget;

/// Sends a second attempt beside one that takes long.
#[derive(Debug, Clone)]
pub struct Hedge<S, C, O = NoObserver> {
    pub(super) inner: S,
    pub(super) hedging: Option<(Arc<Hedging>, Arc<Budget>)>,
    pub(super) classify: C,
    pub(super) observer: O,
}

impl<S, C, O> Hedge<S, C, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the hedging.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, O, Req> Service<Req> for Hedge<S, C, O>
where
    S: Service<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    O: Observe<Req>,
    Req: PolicyRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let hedging = self.hedging.as_ref().filter(|_| request.idempotent() && request.retry_allowed());
        let watched = hedging.map(|(hedging, budget)| {
            let second = (self.inner.clone(), request.clone());
            let scope = self.observer.scope(&request);
            Box::pin(Watched::new(Arc::clone(hedging), Arc::clone(budget), second, self.classify.clone(), scope))
        });
        ResponseFuture::new(self.inner.call(request), watched)
    }
}
