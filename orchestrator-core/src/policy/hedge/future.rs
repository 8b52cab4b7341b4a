//! The future of an attempt that may be hedged.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;
use tower::util::Oneshot;

use super::Hedging;
use crate::policy::classify::{Class, Classify};
use crate::policy::observe::{AttemptEnd, PolicyEvent, Scope};
use crate::policy::request::PolicyRequest;
use crate::policy::retry::Budget;
use crate::policy::timer::Timer;

pin_project! {
    /// The first success of the two attempts, or the result of the first one.
    pub struct ResponseFuture<S, Req, C, Sc>
    where
        S: Service<Req>,
        Sc: Scope,
    {
        #[pin]
        first: First<S::Future, S::Response, S::Error>,
        watched: MaybeWatched<S, Req, C, Sc>,
    }
}

pin_project! {
    #[project = FirstProj]
    enum First<F, Res, Err> {
        Running { #[pin] call: F },
        // It failed, and the second one may still succeed.
        Failed { result: Option<Result<Res, Err>> },
        Ended,
    }
}

pin_project! {
    /// What it takes to hedge an attempt.
    pub(super) struct Watched<S, Req, C, Sc>
    where
        S: Service<Req>,
        Sc: Scope,
    {
        hedging: Arc<Hedging>,
        budget: Arc<Budget>,
        // What the second attempt is made with, until it is.
        spare: Option<(S, Req)>,
        classify: C,
        scope: Sc,
        since: Instant,
        delay: Option<Duration>,
        #[pin]
        timer: Timer,
        second: Option<Second<S, Req, Sc>>,
    }
}

/// Boxed: a call that is not hedged must not carry it.
pub(super) type MaybeWatched<S, Req, C, Sc> = Option<Pin<Box<Watched<S, Req, C, Sc>>>>;

/// The second attempt. Dropped before it ended, it was given up.
struct Second<S, Req, Sc>
where
    S: Service<Req>,
    Sc: Scope,
{
    // Boxed: it is seldom there, and the future of a call must not be twice as large for it.
    call: Pin<Box<Oneshot<S, Req>>>,
    scope: Sc,
    since: Instant,
    ended: bool,
}

impl<S, Req, Sc> Second<S, Req, Sc>
where
    S: Service<Req>,
    Sc: Scope,
{
    fn end(&mut self, end: AttemptEnd, used: bool) {
        if !std::mem::replace(&mut self.ended, true) {
            self.scope.event(PolicyEvent::HedgeEnded { end, duration: self.since.elapsed(), used });
        }
    }
}

impl<S, Req, Sc> Drop for Second<S, Req, Sc>
where
    S: Service<Req>,
    Sc: Scope,
{
    fn drop(&mut self) {
        self.end(AttemptEnd::Cancelled, false);
    }
}

impl<S, Req, C, Sc> Watched<S, Req, C, Sc>
where
    S: Service<Req>,
    Sc: Scope,
{
    pub(super) fn new(hedging: Arc<Hedging>, budget: Arc<Budget>, spare: (S, Req), classify: C, scope: Sc) -> Self {
        let delay = hedging.delay();
        let (timer, since) = (Timer::unset(), Instant::now());
        Self { hedging, budget, spare: Some(spare), classify, scope, since, delay, timer, second: None }
    }
}

impl<S, Req, C, Sc> Watched<S, Req, C, Sc>
where
    S: Service<Req> + Clone,
    Req: PolicyRequest,
    C: Classify<S::Response, S::Error>,
    Sc: Scope,
{
    /// Begins the second attempt when its time has come and it can be paid.
    fn poll_begin(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let this = self.project();
        let Some(delay) = *this.delay else { return };
        let until = *this.since + delay;
        if this.spare.is_none() || this.timer.poll(|| until, cx).is_pending() {
            return;
        }
        let Some((service, request)) = this.spare.take() else { return };
        if !this.budget.withdraw() {
            this.scope.event(PolicyEvent::HedgeSkipped { delay });
            return;
        }
        this.scope.event(PolicyEvent::HedgeStarted { delay });
        let call = Box::pin(Oneshot::new(service, request.hedged()));
        *this.second = Some(Second { call, scope: this.scope.clone(), since: Instant::now(), ended: false });
    }

    /// The result of the second attempt, if it succeeded. One that failed is gone.
    fn poll_second(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let this = self.project();
        let Some(second) = this.second else { return Poll::Pending };
        let Poll::Ready(result) = second.call.as_mut().poll(cx) else { return Poll::Pending };
        let class = this.classify.classify(result.as_ref());
        let used = class == Class::Success;
        second.end(AttemptEnd::Result(class), used);
        *this.second = None;
        if used {
            // The first one has taken at least so long.
            this.hedging.record(this.since.elapsed());
            return Poll::Ready(result);
        }
        Poll::Pending
    }
}

impl<S, Req, C, Sc> ResponseFuture<S, Req, C, Sc>
where
    S: Service<Req>,
    Sc: Scope,
{
    pub(super) fn new(call: S::Future, watched: MaybeWatched<S, Req, C, Sc>) -> Self {
        Self { first: First::Running { call }, watched }
    }
}

impl<S, Req, C, Sc> Future for ResponseFuture<S, Req, C, Sc>
where
    S: Service<Req> + Clone,
    Req: PolicyRequest,
    C: Classify<S::Response, S::Error>,
    Sc: Scope,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answered = match this.first.as_mut().project() {
            FirstProj::Running { call } => call.poll(cx),
            FirstProj::Failed { .. } => Poll::Pending,
            FirstProj::Ended => return Poll::Pending,
        };
        let Some(watched) = this.watched.as_mut() else {
            if answered.is_ready() {
                this.first.set(First::Ended);
            }
            return answered;
        };
        if let Poll::Ready(result) = answered {
            // The attempt is gone, with all it held.
            this.first.set(First::Ended);
            let class = watched.classify.classify(result.as_ref());
            if class == Class::Success {
                watched.hedging.record(watched.since.elapsed());
            }
            if !matches!(class, Class::Retryable { .. }) || watched.second.is_none() {
                // The second attempt is dropped before the answer is given.
                *this.watched = None;
                return Poll::Ready(result);
            }
            this.first.set(First::Failed { result: Some(result) });
        } else {
            watched.as_mut().poll_begin(cx);
        }
        if let Poll::Ready(result) = watched.as_mut().poll_second(cx) {
            this.first.set(First::Ended);
            *this.watched = None;
            return Poll::Ready(result);
        }
        if let FirstProj::Failed { result } = this.first.as_mut().project()
            && watched.second.is_none()
            && let Some(result) = result.take()
        {
            this.first.set(First::Ended);
            return Poll::Ready(result);
        }
        Poll::Pending
    }
}
