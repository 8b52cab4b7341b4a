//! The future of a call under a total deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::rejection::DeadlineExceeded;
use crate::policy::request::Until;
use crate::policy::timer::Timer;

pin_project! {
    /// The response, or [`DeadlineExceeded`].
    pub struct ResponseFuture<F, Sc> {
        #[pin]
        state: State<F>,
        until: Until,
        scope: Sc,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Running { #[pin] call: F, #[pin] timer: Timer },
        Ended,
    }
}

impl<F, Sc> ResponseFuture<F, Sc> {
    pub(super) fn new(call: F, until: Until, scope: Sc) -> Self {
        Self { state: State::Running { call, timer: Timer::unset() }, until, scope }
    }
}

impl<F, Sc, Res, Err> Future for ResponseFuture<F, Sc>
where
    F: Future<Output = Result<Res, Err>>,
    Err: From<DeadlineExceeded>,
    Sc: Scope,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProj::Running { call, timer } = this.state.as_mut().project() else { return Poll::Pending };
        if let Poll::Ready(result) = call.poll(cx) {
            // Whoever keeps this future does not keep what the call held.
            this.state.set(State::Ended);
            return Poll::Ready(result);
        }
        ready!(timer.poll(|| this.until.moment(), cx));
        this.scope.event(PolicyEvent::DeadlineExceeded { total: this.until.elapsed() });
        this.state.set(State::Ended);
        Poll::Ready(Err(DeadlineExceeded.into()))
    }
}
