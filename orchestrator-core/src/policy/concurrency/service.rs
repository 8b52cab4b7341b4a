//! The service of the concurrency limit.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::state::BUSY;
use super::{Bulkhead, ResponseFuture};
use crate::policy::observe::{NoObserver, Observe, PolicyEvent, Scope};
use crate::policy::places::Entered;
use crate::policy::rejection::ConcurrencyLimited;
use crate::policy::request::PolicyRequest;

/// Bounds how many calls are in flight.
#[derive(Debug, Clone)]
pub struct Concurrency<S, O = NoObserver> {
    pub(super) inner: S,
    pub(super) bulkhead: Option<Arc<Bulkhead>>,
    pub(super) observer: O,
}

impl<S, O> Concurrency<S, O> {
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

impl<S, O, Req> Service<Req> for Concurrency<S, O>
where
    S: Service<Req> + Clone,
    S::Error: From<ConcurrencyLimited>,
    Req: PolicyRequest,
    O: Observe<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, O::Scope>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Some(bulkhead) = &self.bulkhead else {
            return ResponseFuture::running(self.inner.clone(), request, None);
        };
        let scope = self.observer.scope(&request);
        match bulkhead.enter(request.may_wait()) {
            Entered::Place(place, in_flight, max) => {
                scope.event(PolicyEvent::ConcurrencyAdmitted { in_flight, max });
                ResponseFuture::running(self.inner.clone(), request, Some(place))
            }
            Entered::Turn(turn) => ResponseFuture::queued(self.inner.clone(), request, turn, scope),
            Entered::Full { waiting, max } => {
                scope.event(PolicyEvent::ConcurrencyRejected { max, waiting });
                ResponseFuture::refused(ConcurrencyLimited { retry_after: BUSY })
            }
        }
    }
}
