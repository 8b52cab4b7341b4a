//! For the tests: a request, an error, a scripted upstream, and an observer that remembers.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Call {
    pub(crate) idempotent: bool,
    pub(crate) cap: Option<Duration>,
    pub(crate) retry_allowed: bool,
    pub(crate) may_wait: bool,
}

pub(crate) const CALL: Call = Call { idempotent: true, cap: None, retry_allowed: true, may_wait: true };

impl PolicyRequest for Call {
    fn idempotent(&self) -> bool {
        self.idempotent
    }

    fn deadline_cap(&self) -> Option<Duration> {
        self.cap
    }

    fn retry_allowed(&self) -> bool {
        self.retry_allowed
    }

    fn may_wait(&self) -> bool {
        self.may_wait
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Failure {
    Deadline,
    RateLimited(Duration),
    ConcurrencyLimited,
    BreakerOpen(Duration),
    TimedOut,
    Upstream { retry_after: Option<Duration>, sent: Sent },
    Refused,
}

pub(crate) const DOWN: Failure = Failure::Upstream { retry_after: None, sent: Sent::Maybe };

impl From<DeadlineExceeded> for Failure {
    fn from(_: DeadlineExceeded) -> Self {
        Self::Deadline
    }
}

impl From<RateLimited> for Failure {
    fn from(rejection: RateLimited) -> Self {
        Self::RateLimited(rejection.retry_after)
    }
}

impl From<ConcurrencyLimited> for Failure {
    fn from(_: ConcurrencyLimited) -> Self {
        Self::ConcurrencyLimited
    }
}

impl From<BreakerOpen> for Failure {
    fn from(rejection: BreakerOpen) -> Self {
        Self::BreakerOpen(rejection.retry_after)
    }
}

impl From<AttemptTimedOut> for Failure {
    fn from(_: AttemptTimedOut) -> Self {
        Self::TimedOut
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ByFailure;

impl Classify<u32, Failure> for ByFailure {
    fn classify(&self, result: Result<&u32, &Failure>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(Failure::Upstream { retry_after, sent }) => Class::Retryable { retry_after: *retry_after, sent: *sent },
            Err(Failure::TimedOut) => Class::Retryable { retry_after: None, sent: Sent::Maybe },
            Err(_) => Class::Final,
        }
    }
}

/// What the upstream does with a call, after a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step(pub(crate) Duration, pub(crate) Result<(), Failure>);

pub(crate) const OK: Step = Step(Duration::ZERO, Ok(()));
pub(crate) const FAIL: Step = Step(Duration::ZERO, Err(DOWN));
/// Longer than any deadline in these tests.
pub(crate) const HANG: Step = Step(Duration::from_secs(1_000_000), Ok(()));

pub(crate) fn slow(millis: u64) -> Step {
    Step(Duration::from_millis(millis), Ok(()))
}

/// Plays its steps one a call, then `then` for ever. Answers with the number of the call.
#[derive(Clone)]
pub(crate) struct Upstream {
    steps: Arc<Mutex<VecDeque<Step>>>,
    then: Step,
    calls: Arc<AtomicU32>,
    in_flight: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
    ready: bool,
}

impl Upstream {
    pub(crate) fn plays(steps: impl IntoIterator<Item = Step>, then: Step) -> Self {
        Self {
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            then,
            calls: Arc::default(),
            in_flight: Arc::default(),
            most: Arc::default(),
            ready: true,
        }
    }

    pub(crate) fn always(step: Step) -> Self {
        Self::plays([], step)
    }

    pub(crate) fn never_ready() -> Self {
        Self { ready: false, ..Self::always(OK) }
    }

    /// How many calls it has seen.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many are under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// How many were under way at once.
    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::SeqCst)
    }
}

struct InFlight(Arc<AtomicU32>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<Req> Service<Req> for Upstream {
    type Response = u32;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<u32, Failure>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _request: Req) -> Self::Future {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let Step(takes, result) = self.steps.lock().unwrap().pop_front().unwrap_or(self.then);
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(in_flight, Ordering::SeqCst);
        let guard = InFlight(Arc::clone(&self.in_flight));
        Box::pin(async move {
            let _guard = guard;
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            result.map(|()| number)
        })
    }
}

/// Remembers every event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<PolicyEvent>>>);

impl Recorder {
    pub(crate) fn events(&self) -> Vec<PolicyEvent> {
        self.0.lock().unwrap().clone()
    }
}

impl<Req> Observe<Req> for Recorder {
    type Scope = Self;

    fn scope(&self, _request: &Req) -> Self {
        self.clone()
    }
}

impl Scope for Recorder {
    fn event(&self, event: PolicyEvent) {
        self.0.lock().unwrap().push(event);
    }
}

/// Polls `future` up to `polls` times, with `step` passing after each, then drops it. Says whether it had ended.
pub(crate) async fn drop_after(polls: usize, step: Duration, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ended = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if ended {
            return true;
        }
        tokio::time::advance(step).await;
    }
    false
}
