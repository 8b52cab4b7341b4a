//! The service of the concurrency limit.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::future::Measured;
use super::state::BUSY;
use super::{Bulkhead, ResponseFuture};
use crate::policy::classify::{Classify, ClassifyAnswers};
use crate::policy::observe::{NoObserver, Observe, PolicyEvent, Scope};
use crate::policy::places::Entered;
use crate::policy::rejection::ConcurrencyLimited;
use crate::policy::request::{PolicyRequest, taken};

/// Bounds how many calls are in flight.
#[derive(Debug, Clone)]
pub struct Concurrency<S, C = ClassifyAnswers, O = NoObserver> {
    pub(super) inner: S,
    pub(super) bulkhead: Option<Arc<Bulkhead>>,
    pub(super) classify: C,
    pub(super) observer: O,
}

impl<S, C, O> Concurrency<S, C, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, O, Req> Service<Req> for Concurrency<S, C, O>
where
    S: Service<Req> + Clone,
    S::Error: From<ConcurrencyLimited>,
    C: Classify<S::Response, S::Error> + Clone,
    Req: PolicyRequest,
    O: Observe<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Some(bulkhead) = &self.bulkhead else {
            return ResponseFuture::running(self.inner.call(request), None, None);
        };
        let scope = self.observer.scope(&request);
        let measured = |in_flight| bulkhead.adapts().then(|| Measured::new(bulkhead, self.classify.clone(), in_flight));
        match bulkhead.enter(request.may_wait()) {
            Entered::Place(place, in_flight, max) => {
                scope.event(PolicyEvent::ConcurrencyAdmitted { in_flight, max });
                let measured = measured(in_flight);
                ResponseFuture::running(self.inner.call(request), measured, Some(place))
            }
            Entered::Turn(turn) => {
                let measured = measured(0);
                ResponseFuture::queued(taken(&mut self.inner), request, turn, measured, scope)
            }
            Entered::Full { waiting, max } => {
                scope.event(PolicyEvent::ConcurrencyRejected { max, waiting });
                ResponseFuture::refused(ConcurrencyLimited { retry_after: BUSY })
            }
        }
    }
}
