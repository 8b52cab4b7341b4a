//! A call as the policies see it: what may be held, delayed and sent again, and what a result means.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use orchestrator_types::{FallbackPolicy, Policy};
use serde_json::Value;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::attempt::Attempt;
use super::trace::{CallObserver, CallTrace};
use crate::connector::{CallError, CallErrorKind, Sent};
use crate::policy::fallback::{Fallback, FallbackLayer, Substitute};
use crate::policy::{
    AttemptTimedOut, BreakerOpen, Class, Classify, ConcurrencyLimited, DeadlineExceeded, PolicyRequest, PolicyStack,
    PolicyState, RateLimited, stack,
};

/// The stack of a connector or callback, with the fallback around it.
pub(crate) type CallStack = Fallback<PolicyStack<Caller, CallClasses, CallObserver>, Instead, CallObserver>;

/// Builds the stack of a connector or callback.
pub(crate) fn call_stack(policy: &Policy, state: &Arc<PolicyState>) -> CallStack {
    let instead = policy.fallback.clone().map(|fallback| Instead(Arc::new(fallback)));
    let fallback = FallbackLayer::maybe(instead).observed_by(CallObserver);
    fallback.layer(stack(policy, state, CallClasses, CallObserver, Caller))
}

/// The policy's own output in place of a failure. Never inside a job, which tries again instead.
#[derive(Debug, Clone)]
pub(crate) struct Instead(Arc<FallbackPolicy>);

impl Substitute<CallRequest, Value, CallFault> for Instead {
    fn substitute(&self, request: &CallRequest, fault: &CallFault) -> Option<Value> {
        let code = fault.code();
        let meant = self.0.on.iter().any(|on| on.code() == code);
        (meant && request.call.job.is_none()).then(|| self.0.output.clone())
    }
}

/// One call; clones share it.
#[derive(Clone)]
pub(crate) struct CallRequest {
    call: Arc<Inner>,
    /// Whether this copy is sent beside a first one.
    hedge: bool,
}

struct Inner {
    attempt: Arc<dyn Attempt>,
    idempotent: bool,
    deadline_cap: Option<Duration>,
    started: Instant,
    job: Option<JobCall>,
    trace: CallTrace,
}

/// What is different inside a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobCall {
    /// Whether this is not the job's first attempt.
    pub(crate) again: bool,
    /// Whether the policy's own retry works inside the attempt.
    pub(crate) inner_retry: bool,
}

impl CallRequest {
    pub(crate) fn new(attempt: Arc<dyn Attempt>, idempotent: bool, deadline_cap: Option<Duration>) -> Self {
        Self::with(attempt, idempotent, deadline_cap, None)
    }

    pub(crate) fn in_job(
        attempt: Arc<dyn Attempt>,
        idempotent: bool,
        deadline_cap: Option<Duration>,
        job: JobCall,
    ) -> Self {
        Self::with(attempt, idempotent, deadline_cap, Some(job))
    }

    fn with(attempt: Arc<dyn Attempt>, idempotent: bool, deadline_cap: Option<Duration>, job: Option<JobCall>) -> Self {
        let started = Instant::now();
        let trace = CallTrace::new(started);
        let call = Inner { attempt, idempotent, deadline_cap, started, job, trace };
        Self { call: Arc::new(call), hedge: false }
    }

    pub(crate) fn trace(&self) -> CallTrace {
        if self.hedge { self.call.trace.of_hedge() } else { self.call.trace.clone() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.call.started.elapsed()
    }
}

impl PolicyRequest for CallRequest {
    fn idempotent(&self) -> bool {
        self.call.idempotent
    }

    fn deadline_cap(&self) -> Option<Duration> {
        self.call.deadline_cap
    }

    fn started_at(&self) -> Option<Instant> {
        Some(self.call.started)
    }

    fn retry_allowed(&self) -> bool {
        self.call.job.is_none_or(|job| job.inner_retry)
    }

    fn hedged(self) -> Self {
        Self { hedge: true, ..self }
    }

    fn is_retry(&self) -> bool {
        self.call.job.is_some_and(|job| job.again)
    }

    fn may_wait(&self) -> bool {
        self.call.job.is_none()
    }
}

/// The innermost service: makes one attempt of whatever the request is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller;

impl Service<CallRequest> for Caller {
    type Response = Value;
    type Error = CallFault;
    // An attempt is a call of a port, which boxes its future anyway.
    type Future = Pin<Box<dyn Future<Output = Result<Value, CallFault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: CallRequest) -> Self::Future {
        Box::pin(async move {
            let attempt = AssertUnwindSafe(request.call.attempt.attempt()).catch_unwind();
            // A connector that panics fails its own attempt: the call is recorded like any other.
            let result = attempt.await.unwrap_or_else(|_| {
                tracing::error!("a connector or callback transport panicked");
                Err(CallError::new(CallErrorKind::Failed, Sent::Maybe, "the connector failed without an answer"))
            });
            request.trace().answered(result.as_ref());
            result.map_err(CallFault::Call)
        })
    }
}

/// Why a call failed: the upstream, or a policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Deadline(#[from] DeadlineExceeded),
    #[error(transparent)]
    Timeout(#[from] AttemptTimedOut),
    #[error(transparent)]
    Rate(#[from] RateLimited),
    #[error(transparent)]
    Concurrency(#[from] ConcurrencyLimited),
    #[error(transparent)]
    Breaker(#[from] BreakerOpen),
}

impl From<Infallible> for CallFault {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl CallFault {
    /// Whether the same call may succeed later, and when the upstream asked to come back.
    pub(crate) fn may_pass(&self) -> Option<Option<Duration>> {
        match (self, CallClasses.classify(Err(self))) {
            // Final for this call; another one may be let through.
            (Self::Rate(_) | Self::Concurrency(_) | Self::Breaker(_), _) => Some(self.retry_after()),
            (_, Class::Retryable { retry_after, .. }) => Some(retry_after),
            _ => None,
        }
    }

    /// Whether the upstream may have seen the call.
    pub(crate) fn maybe_sent(&self) -> bool {
        match self {
            Self::Call(error) => error.sent == Sent::Maybe,
            Self::Deadline(_) | Self::Timeout(_) => true,
            Self::Rate(_) | Self::Concurrency(_) | Self::Breaker(_) => false,
        }
    }
}

/// What a result means for retry and breaker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallClasses;

impl Classify<Value, CallFault> for CallClasses {
    fn classify(&self, result: Result<&Value, &CallFault>) -> Class {
        let sent = |sent: Sent| match sent {
            Sent::No => crate::policy::Sent::No,
            Sent::Maybe => crate::policy::Sent::Maybe,
        };
        match result {
            Ok(_) => Class::Success,
            Err(CallFault::Call(error)) => match error.kind {
                CallErrorKind::Failed | CallErrorKind::Unreachable => {
                    Class::Retryable { retry_after: error.retry_after, sent: sent(error.sent) }
                }
                CallErrorKind::Rejected => Class::Final,
                // Neither says anything about the upstream.
                CallErrorKind::DestinationForbidden | CallErrorKind::SecretUnavailable | CallErrorKind::PayloadLost => {
                    Class::Ignored
                }
            },
            Err(CallFault::Timeout(_) | CallFault::Deadline(_)) => {
                Class::Retryable { retry_after: None, sent: crate::policy::Sent::Maybe }
            }
            Err(CallFault::Rate(_) | CallFault::Concurrency(_) | CallFault::Breaker(_)) => Class::Final,
        }
    }
}
