//! The future of a call under a rate limit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::state::Waiting;
use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::rejection::RateLimited;

pin_project! {
    /// The response, or [`RateLimited`].
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
        Refused { rejection: RateLimited },
        Waiting { waiting: Waiting, #[pin] sleep: Sleep, call: Option<(S, Req)>, since: Instant, until: Instant, scope: Sc },
        Running { #[pin] call: S::Future },
        Ended,
    }
}

impl<S, Req, Sc> ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
{
    pub(super) fn refused(rejection: RateLimited) -> Self {
        Self { state: State::Refused { rejection } }
    }

    /// The call is made on `service`, which is ready, when its turn has come.
    pub(super) fn waiting(
        service: S,
        request: Req,
        waiting: Waiting,
        since: Instant,
        until: Instant,
        scope: Sc,
    ) -> Self {
        let sleep = sleep_until(since);
        Self { state: State::Waiting { waiting, sleep, call: Some((service, request)), since, until, scope } }
    }

    pub(super) fn running(call: S::Future) -> Self {
        Self { state: State::Running { call } }
    }
}

impl<S, Req, Sc> Future for ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
    S::Error: From<RateLimited>,
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
                StateProj::Waiting { waiting, mut sleep, call, since, until, scope } => {
                    ready!(waiting.poll_first(cx));
                    // Now this call is the first one: it sleeps until the next token, takes it, and lets the next one in.
                    if sleep.deadline() > *since {
                        ready!(sleep.as_mut().poll(cx));
                    }
                    let now = Instant::now();
                    match waiting.take() {
                        Ok(_) => {
                            scope.event(PolicyEvent::RateLimitWaited { wait: now.saturating_duration_since(*since) });
                            let Some((mut service, request)) = call.take() else { return Poll::Pending };
                            // The turn is over before the call begins: the next one in the queue moves up.
                            let call = service.call(request);
                            this.state.set(State::Running { call });
                        }
                        Err(wait) if wait > until.saturating_duration_since(now) => {
                            scope.event(PolicyEvent::RateLimitRejected { retry_after: wait });
                            this.state.set(State::Refused { rejection: RateLimited { retry_after: wait } });
                        }
                        Err(wait) => sleep.as_mut().reset(now + wait),
                    }
                }
                StateProj::Running { call } => return call.poll(cx),
                StateProj::Ended => return Poll::Pending,
            }
        }
    }
}
