//! The future of a call under a total deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Timeout, timeout_at};
use tower::Service;
use tower::util::Oneshot;

use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::rejection::DeadlineExceeded;

pin_project! {
    /// The response, or [`DeadlineExceeded`].
    pub struct ResponseFuture<S, Req, Sc>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req>,
        started: Instant,
        scope: Sc,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        Running { #[pin] call: Timeout<Oneshot<S, Req>> },
        Ended,
    }
}

impl<S, Req, Sc> ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
{
    pub(super) fn new(call: Oneshot<S, Req>, started: Instant, until: Instant, scope: Sc) -> Self {
        Self { state: State::Running { call: timeout_at(until, call) }, started, scope }
    }
}

impl<S, Req, Sc> Future for ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
    S::Error: From<DeadlineExceeded>,
    Sc: Scope,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProj::Running { call } = this.state.as_mut().project() else { return Poll::Pending };
        match ready!(call.poll(cx)) {
            Ok(result) => Poll::Ready(result),
            Err(_elapsed) => {
                this.scope.event(PolicyEvent::DeadlineExceeded { total: this.started.elapsed() });
                // Whoever keeps this future does not keep what the call held.
                this.state.set(State::Ended);
                Poll::Ready(Err(DeadlineExceeded.into()))
            }
        }
    }
}
