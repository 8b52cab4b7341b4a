//! The future of an attempt under a timeout.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::rejection::AttemptTimedOut;
use crate::policy::timer::Timer;

pin_project! {
    /// The response, or [`AttemptTimedOut`].
    pub struct ResponseFuture<F, Sc> {
        #[pin]
        state: State<F>,
        timeout: Duration,
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
    pub(super) fn new(call: F, timeout: Duration, scope: Sc) -> Self {
        Self { state: State::Running { call, timer: Timer::unset() }, timeout, scope }
    }
}

impl<F, Sc, Res, Err> Future for ResponseFuture<F, Sc>
where
    F: Future<Output = Result<Res, Err>>,
    Err: From<AttemptTimedOut>,
    Sc: Scope,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProj::Running { call, timer } = this.state.as_mut().project() else { return Poll::Pending };
        if let Poll::Ready(result) = call.poll(cx) {
            this.state.set(State::Ended);
            return Poll::Ready(result);
        }
        let timeout = *this.timeout;
        // It counts from the moment when the attempt first had to be waited for.
        let until = || Instant::now().checked_add(timeout).unwrap_or_else(far);
        ready!(timer.poll(until, cx));
        this.scope.event(PolicyEvent::AttemptTimedOut { timeout });
        // The attempt is dropped before another one can begin.
        this.state.set(State::Ended);
        Poll::Ready(Err(AttemptTimedOut.into()))
    }
}

/// When a timeout that is too long to be reckoned with ends: in thirty years, as tokio has it.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365 * 30)
}
