//! The service of the breaker.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::future::Counted;
use super::state::{Admission, Transition};
use super::{CircuitBreaker, ResponseFuture};
use crate::policy::classify::Classify;
use crate::policy::observe::{NoObserver, Observe, PolicyEvent, Scope};
use crate::policy::rejection::BreakerOpen;

/// Refuses calls while the service inside fails.
#[derive(Debug, Clone)]
pub struct Breaker<S, C, O = NoObserver> {
    pub(super) inner: S,
    pub(super) state: Option<Arc<CircuitBreaker>>,
    pub(super) classify: C,
    pub(super) observer: O,
}

impl<S, C, O> Breaker<S, C, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the breaker.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, O, Req> Service<Req> for Breaker<S, C, O>
where
    S: Service<Req>,
    S::Error: From<BreakerOpen>,
    C: Classify<S::Response, S::Error> + Clone,
    O: Observe<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Some(state) = &self.state else {
            return ResponseFuture::running(self.inner.call(request), None);
        };
        let scope = self.observer.scope(&request);
        if !<O::Scope as Scope>::LISTENS
            && let Some(pass) = state.admit_closed()
        {
            let counted = Counted::new(Arc::clone(state), pass, self.classify.clone(), scope);
            return ResponseFuture::running(self.inner.call(request), Some(counted));
        }
        let Admission { pass, transition, status, counts, held } = state.admit();
        if let Some(transition) = transition {
            scope.event(transition.into());
        }
        match pass {
            Ok(pass) => {
                scope.event(PolicyEvent::BreakerAdmitted { status, counts });
                let counted = Counted::new(Arc::clone(state), pass, self.classify.clone(), scope);
                ResponseFuture::running(self.inner.call(request), Some(counted))
            }
            Err(retry_after) => {
                scope.event(PolicyEvent::BreakerRejected { status, counts, retry_after, held });
                ResponseFuture::refused(BreakerOpen { retry_after })
            }
        }
    }
}

impl From<Transition> for PolicyEvent {
    fn from(Transition { from, to, counts }: Transition) -> Self {
        Self::BreakerTransition { from, to, counts }
    }
}
