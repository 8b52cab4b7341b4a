//! The future of a call under a concurrency limit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;
use tower::util::Oneshot;

use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::places::{Place, Turn};
use crate::policy::rejection::ConcurrencyLimited;

pin_project! {
    /// The response, or [`ConcurrencyLimited`].
    pub struct ResponseFuture<S, Req, Sc>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, Sc>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, Sc>
    where
        S: Service<Req>,
    {
        Refused { rejection: ConcurrencyLimited },
        Queued { turn: Turn, call: Option<(S, Req)>, since: Instant, scope: Sc },
        // The place is given back after the call was dropped.
        Running { #[pin] call: Oneshot<S, Req>, place: Option<Place> },
        Ended,
    }
}

impl<S, Req, Sc> ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
{
    pub(super) fn refused(rejection: ConcurrencyLimited) -> Self {
        Self { state: State::Refused { rejection } }
    }

    pub(super) fn queued(service: S, request: Req, turn: Turn, scope: Sc) -> Self {
        Self { state: State::Queued { turn, call: Some((service, request)), since: Instant::now(), scope } }
    }

    pub(super) fn running(service: S, request: Req, place: Option<Place>) -> Self {
        Self { state: State::Running { call: Oneshot::new(service, request), place } }
    }
}

impl<S, Req, Sc> Future for ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
    S::Error: From<ConcurrencyLimited>,
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
                StateProj::Queued { turn, call, since, scope } => {
                    let place = ready!(turn.poll(cx));
                    scope.event(PolicyEvent::ConcurrencyWaited { wait: since.elapsed(), max: place.max() });
                    let Some((service, request)) = call.take() else { return Poll::Pending };
                    this.state.set(State::Running { call: Oneshot::new(service, request), place: Some(place) });
                }
                StateProj::Running { call, .. } => {
                    let result = ready!(call.poll(cx));
                    // Whoever keeps this future does not keep the place.
                    this.state.set(State::Ended);
                    return Poll::Ready(result);
                }
                StateProj::Ended => return Poll::Pending,
            }
        }
    }
}
