//! The future of a call under a breaker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::CircuitBreaker;
use super::state::Pass;
use crate::policy::classify::{Class, Classify};
use crate::policy::observe::Scope;
use crate::policy::rejection::BreakerOpen;

pin_project! {
    /// The response, or [`BreakerOpen`].
    pub struct ResponseFuture<F, C, Sc> {
        #[pin]
        state: State<F, C, Sc>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C, Sc> {
        Refused { rejection: BreakerOpen },
        // The probe is given back after the call was dropped.
        Running { #[pin] call: F, counted: Option<Counted<C, Sc>> },
        Ended,
    }
}

/// A call that was let through. Dropped before its result is known, it counts as nothing.
pub(super) struct Counted<C, Sc> {
    breaker: Arc<CircuitBreaker>,
    pass: Option<Pass>,
    classify: C,
    scope: Sc,
}

impl<C, Sc> Counted<C, Sc> {
    pub(super) fn new(breaker: Arc<CircuitBreaker>, pass: Pass, classify: C, scope: Sc) -> Self {
        Self { breaker, pass: Some(pass), classify, scope }
    }
}

impl<C, Sc: Scope> Counted<C, Sc> {
    fn complete<Res, Err>(&mut self, result: Result<&Res, &Err>)
    where
        C: Classify<Res, Err>,
    {
        // Classified first: the classifier is foreign code, and if it panics the probe is given back.
        let class: Class = self.classify.classify(result);
        if let Some(pass) = self.pass.take()
            && let Some(transition) = self.breaker.complete(pass, class)
        {
            self.scope.event(transition.into());
        }
    }
}

impl<C, Sc> Drop for Counted<C, Sc> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.cancel(pass);
        }
    }
}

impl<F, C, Sc> ResponseFuture<F, C, Sc> {
    pub(super) fn refused(rejection: BreakerOpen) -> Self {
        Self { state: State::Refused { rejection } }
    }

    pub(super) fn running(call: F, counted: Option<Counted<C, Sc>>) -> Self {
        Self { state: State::Running { call, counted } }
    }
}

impl<F, C, Sc, Res, Err> Future for ResponseFuture<F, C, Sc>
where
    F: Future<Output = Result<Res, Err>>,
    Err: From<BreakerOpen>,
    C: Classify<Res, Err>,
    Sc: Scope,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.state.as_mut().project() {
            StateProj::Refused { rejection } => {
                let rejection = *rejection;
                this.state.set(State::Ended);
                Poll::Ready(Err(rejection.into()))
            }
            StateProj::Running { call, counted } => {
                let result = ready!(call.poll(cx));
                if let Some(counted) = counted {
                    counted.complete(result.as_ref());
                }
                this.state.set(State::Ended);
                Poll::Ready(result)
            }
            StateProj::Ended => Poll::Pending,
        }
    }
}
