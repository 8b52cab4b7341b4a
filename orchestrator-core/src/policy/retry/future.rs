//! The future of a call with retries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;
use tower::util::Oneshot;

use super::Budget;
use super::state::{Attempt, Next, Plan};
use crate::policy::backoff::Schedule;
use crate::policy::classify::{Class, Classify};
use crate::policy::observe::{AttemptEnd, PolicyEvent, Scope, WaitReason};
use crate::policy::request::{PolicyRequest, Until};

pin_project! {
    /// The result of the last attempt.
    pub struct ResponseFuture<S, Req, C, Sc, B>
    where
        S: Service<Req>,
        Sc: Scope,
    {
        #[pin]
        state: State<S, Req>,
        // After the state: an attempt is told to be cancelled once it is dropped.
        running: Running<Sc>,
        // A retry that is paid for and not made yet.
        paid: Paid,
        // What a further attempt is made with, if there can be one.
        again: Option<(S, Req)>,
        plan: Arc<Plan<B>>,
        classify: C,
        until: Option<Until>,
        waited: Duration,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        First { #[pin] call: S::Future },
        Again { #[pin] call: Oneshot<S, Req> },
        Waiting { #[pin] sleep: Sleep, since: Instant, reason: WaitReason },
        Ended,
    }
}

/// The attempt under way. Dropped before its result is known, it was cancelled.
struct Running<Sc: Scope> {
    scope: Sc,
    number: u32,
    started: Option<Instant>,
}

impl<Sc: Scope> Running<Sc> {
    fn start(&mut self, wait: Duration, reason: Option<WaitReason>) {
        self.number += 1;
        if Sc::LISTENS {
            self.started = Some(Instant::now());
        }
        self.scope.event(PolicyEvent::AttemptStarted { number: self.number, wait, reason });
    }

    fn end(&mut self, end: AttemptEnd) {
        if let Some(started) = self.started.take() {
            let duration = started.elapsed();
            self.scope.event(PolicyEvent::AttemptEnded { number: self.number, end, duration });
        }
    }
}

impl<Sc: Scope> Drop for Running<Sc> {
    fn drop(&mut self) {
        self.end(AttemptEnd::Cancelled);
    }
}

/// Gives back what was paid for a retry that is never made.
#[derive(Default)]
struct Paid(Option<Arc<Budget>>);

impl Drop for Paid {
    fn drop(&mut self) {
        if let Some(budget) = self.0.take() {
            budget.refund();
        }
    }
}

impl<S, Req, C, Sc, B> ResponseFuture<S, Req, C, Sc, B>
where
    S: Service<Req> + Clone,
    Req: PolicyRequest,
    Sc: Scope,
{
    /// Makes the first attempt, on `service`, which is ready.
    pub(super) fn new(service: &mut S, request: Req, plan: Arc<Plan<B>>, classify: C, scope: Sc) -> Self {
        let mut running = Running { scope, number: 0, started: None };
        running.start(Duration::ZERO, None);
        let (again, until, call) = if plan.max_attempts > 1 && request.retry_allowed() {
            let until = plan.total.map(|total| Until::of(&request, total));
            (Some((service.clone(), request.clone())), until, service.call(request))
        } else {
            (None, None, service.call(request))
        };
        let state = State::First { call };
        Self { state, running, paid: Paid::default(), again, plan, classify, until, waited: Duration::ZERO }
    }
}

impl<S, Req, C, Sc, B> Future for ResponseFuture<S, Req, C, Sc, B>
where
    S: Service<Req> + Clone,
    Req: PolicyRequest,
    C: Classify<S::Response, S::Error>,
    Sc: Scope,
    B: Schedule,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProj::First { call } => ready!(call.poll(cx)),
                StateProj::Again { call } => ready!(call.poll(cx)),
                StateProj::Waiting { sleep, since, reason } => {
                    ready!(sleep.poll(cx));
                    // Without what it takes there would have been no wait.
                    let Some((service, request)) = this.again.as_ref() else { return Poll::Pending };
                    this.paid.0 = None;
                    this.running.start(since.elapsed(), Some(*reason));
                    let call = Oneshot::new(service.clone(), request.clone());
                    this.state.set(State::Again { call });
                    continue;
                }
                StateProj::Ended => return Poll::Pending,
            };
            // The attempt is gone, with all it held, before the wait for the next one begins.
            this.state.set(State::Ended);
            let class = this.classify.classify(result.as_ref());
            this.running.end(AttemptEnd::Result(class));
            if class == Class::Success {
                return Poll::Ready(result);
            }
            let attempt = Attempt {
                number: this.running.number,
                class,
                idempotent: this.again.as_ref().is_some_and(|(_, request)| request.idempotent()),
                allowed: this.again.is_some(),
                previous: *this.waited,
                left: this.until.map(|until| until.left()),
            };
            match this.plan.next(attempt, &mut fastrand::Rng::new()) {
                Next::Return => return Poll::Ready(result),
                Next::GiveUp(reason) => {
                    let attempts = attempt.number;
                    this.running.scope.event(PolicyEvent::GaveUp { reason, attempts });
                    return Poll::Ready(result);
                }
                Next::Again { delay, reason } => {
                    this.paid.0 = Some(Arc::clone(&this.plan.budget));
                    *this.waited = delay;
                    let number = attempt.number + 1;
                    this.running.scope.event(PolicyEvent::RetryScheduled { number, delay, reason });
                    this.state.set(State::Waiting { sleep: sleep(delay), since: Instant::now(), reason });
                }
            }
        }
    }
}
