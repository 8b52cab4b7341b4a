//! The future of an attempt under a timeout.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Timeout;
use tower::Service;
use tower::util::Oneshot;

use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::rejection::AttemptTimedOut;

pin_project! {
    /// The response, or [`AttemptTimedOut`].
    pub struct ResponseFuture<S, Req, Sc>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req>,
        timeout: Duration,
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
    pub(super) fn new(call: Oneshot<S, Req>, timeout: Duration, scope: Sc) -> Self {
        Self { state: State::Running { call: tokio::time::timeout(timeout, call) }, timeout, scope }
    }
}

impl<S, Req, Sc> Future for ResponseFuture<S, Req, Sc>
where
    S: Service<Req>,
    S::Error: From<AttemptTimedOut>,
    Sc: Scope,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProj::Running { call } = this.state.as_mut().project() else { return Poll::Pending };
        match ready!(call.poll(cx)) {
            Ok(result) => Poll::Ready(result),
            Err(_elapsed) => {
                this.scope.event(PolicyEvent::AttemptTimedOut { timeout: *this.timeout });
                // The attempt is dropped before another one can begin.
                this.state.set(State::Ended);
                Poll::Ready(Err(AttemptTimedOut.into()))
            }
        }
    }
}
