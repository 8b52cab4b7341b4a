//! The future of a call under a concurrency limit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::Bulkhead;
use super::gradient::Sample;
use crate::policy::classify::{Class, Classify};
use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::places::{Place, Turn};
use crate::policy::rejection::ConcurrencyLimited;

pin_project! {
    /// The response, or [`ConcurrencyLimited`].
    pub struct ResponseFuture<S, Req, C, Sc>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, C, Sc>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, C, Sc>
    where
        S: Service<Req>,
    {
        Refused { rejection: ConcurrencyLimited },
        Queued { turn: Turn, call: Option<(S, Req)>, measured: Option<Measured<C>>, since: Instant, scope: Sc },
        // The place is given back after the call was dropped.
        Running { #[pin] call: S::Future, measured: Option<Measured<C>>, place: Option<Place> },
        Ended,
    }
}

/// A call that an adaptive limit learns from, if it ends.
pub(super) struct Measured<C> {
    bulkhead: Arc<Bulkhead>,
    classify: C,
    since: Instant,
    in_flight: u32,
}

impl<C> Measured<C> {
    pub(super) fn new(bulkhead: &Arc<Bulkhead>, classify: C, in_flight: u32) -> Self {
        Self { bulkhead: Arc::clone(bulkhead), classify, since: Instant::now(), in_flight }
    }

    fn end<Res, Err>(&self, result: Result<&Res, &Err>)
    where
        C: Classify<Res, Err>,
    {
        let failed = match self.classify.classify(result) {
            Class::Success => false,
            Class::Retryable { .. } => true,
            // It may have been refused before it reached the upstream: how long it took says nothing.
            Class::Final | Class::Ignored => return,
        };
        self.bulkhead.sample(Sample { took: self.since.elapsed(), failed, in_flight: self.in_flight });
    }
}

impl<S, Req, C, Sc> ResponseFuture<S, Req, C, Sc>
where
    S: Service<Req>,
{
    pub(super) fn refused(rejection: ConcurrencyLimited) -> Self {
        Self { state: State::Refused { rejection } }
    }

    /// The call is made on `service`, which is ready, when its turn has come.
    pub(super) fn queued(service: S, request: Req, turn: Turn, measured: Option<Measured<C>>, scope: Sc) -> Self {
        let call = Some((service, request));
        Self { state: State::Queued { turn, call, measured, since: Instant::now(), scope } }
    }

    pub(super) fn running(call: S::Future, measured: Option<Measured<C>>, place: Option<Place>) -> Self {
        Self { state: State::Running { call, measured, place } }
    }
}

impl<S, Req, C, Sc> Future for ResponseFuture<S, Req, C, Sc>
where
    S: Service<Req>,
    S::Error: From<ConcurrencyLimited>,
    C: Classify<S::Response, S::Error>,
    Sc: Scope,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Refused { rejection } => {
                    let rejection = *rejection;
                    this.state.set(State::Ended);
                    return Poll::Ready(Err(rejection.into()));
                }
                StateProj::Queued { turn, call, measured, since, scope } => {
                    let place = ready!(turn.poll(cx));
                    let (in_flight, max) = place.counts();
                    scope.event(PolicyEvent::ConcurrencyWaited { wait: since.elapsed(), max });
                    let mut measured = measured.take();
                    if let Some(measured) = &mut measured {
                        // The wait for the place is not the upstream's.
                        (measured.since, measured.in_flight) = (Instant::now(), in_flight);
                    }
                    let Some((mut service, request)) = call.take() else { return Poll::Pending };
                    let call = service.call(request);
                    this.state.set(State::Running { call, measured, place: Some(place) });
                }
                StateProj::Running { call, measured, .. } => {
                    let result = ready!(call.poll(cx));
                    let measured = measured.take();
                    // Whoever keeps this future does not keep the place.
                    this.state.set(State::Ended);
                    if let Some(measured) = measured {
                        measured.end(result.as_ref());
                    }
                    return Poll::Ready(result);
                }
                StateProj::Ended => return Poll::Pending,
            }
        }
    }
}
