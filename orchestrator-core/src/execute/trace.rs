//! What happened to one call, as the policies tell it: the source of `attempts_log` and `decisions`.

use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_types::{AttemptOutcome, AttemptRecord, Decision, EventType, TraceId};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::call::CallRequest;
use crate::connector::{CallError, CallErrorKind};
use crate::policy::breaker::BreakerStatus;
use crate::policy::{AttemptEnd, Class, GaveUpReason, Observe, PolicyEvent, Scope};
use crate::store::NewEvent;

/// Takes the events of one call.
#[derive(Clone)]
pub(crate) struct CallTrace {
    started: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    attempts: Vec<AttemptRecord>,
    decisions: Vec<Decision>,
    transitions: Vec<(BreakerStatus, BreakerStatus, u32, u32)>,
    /// What the next end of an attempt was made by.
    cause: Option<AttemptOutcome>,
}

impl CallTrace {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, state: Arc::default() }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the upstream said to the attempt that is running.
    pub(crate) fn answered(&self, result: Result<&Value, &CallError>) {
        let mut state = self.locked();
        let (status, cause) = match result {
            Ok(output) => (output.get("status").and_then(Value::as_u64).and_then(|code| code.try_into().ok()), None),
            Err(error) => {
                let cause = match error.kind {
                    CallErrorKind::Rejected | CallErrorKind::DestinationForbidden => AttemptOutcome::Rejected,
                    CallErrorKind::Unreachable => AttemptOutcome::Unreachable,
                    CallErrorKind::Failed | CallErrorKind::SecretUnavailable | CallErrorKind::PayloadLost => {
                        AttemptOutcome::Failed
                    }
                };
                (error.upstream.as_ref().map(|upstream| upstream.status), Some(cause))
            }
        };
        state.cause = cause;
        if let Some(attempt) = state.attempts.last_mut() {
            attempt.status = status.filter(|status| (100..600).contains(status));
        }
    }

    /// Each attempt, and what each policy decided.
    pub(crate) fn take(&self) -> (Vec<AttemptRecord>, Vec<Decision>) {
        let mut state = self.locked();
        (std::mem::take(&mut state.attempts), std::mem::take(&mut state.decisions))
    }

    /// How many attempts reached for the upstream.
    pub(crate) fn attempts(&self) -> u32 {
        let state = self.locked();
        let made = state.attempts.iter().filter(|attempt| attempt.outcome != AttemptOutcome::BreakerOpen).count();
        u32::try_from(made).unwrap_or(u32::MAX)
    }

    /// The breaker's changes because of this call, as events of its workspace.
    pub(crate) fn breaker_events(&self, target: &str, trace_id: TraceId) -> Vec<NewEvent> {
        let transitions = std::mem::take(&mut self.locked().transitions);
        let event = |(from, to, calls, failures): (BreakerStatus, BreakerStatus, u32, u32)| {
            let kind = match to {
                BreakerStatus::Open => EventType::BreakerOpened,
                BreakerStatus::HalfOpen => EventType::BreakerHalfOpened,
                _ => EventType::BreakerClosed,
            };
            let data = json!({"from": from.as_str(), "to": to.as_str(), "calls": calls, "failures": failures});
            NewEvent::new(kind, target, trace_id, data)
        };
        transitions.into_iter().map(event).collect()
    }

    fn decide(&self, state: &mut State, policy: &str, decision: &str, detail: Option<String>) {
        let at_ms = millis(self.started.elapsed());
        state.decisions.push(Decision { policy: policy.to_owned(), decision: decision.to_owned(), at_ms, detail });
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Scope for CallTrace {
    fn event(&self, event: PolicyEvent) {
        let mut guard = self.locked();
        let state = &mut *guard;
        match event {
            PolicyEvent::RateLimitAdmitted { remaining } => {
                self.decide(state, "rate_limit", "admitted", Some(format!("{remaining} more could follow at once")));
            }
            PolicyEvent::RateLimitWaited { wait } => {
                self.decide(state, "rate_limit", "waited", Some(format!("for {} ms", millis(wait))));
            }
            PolicyEvent::RateLimitRejected { retry_after } => {
                let detail = format!("a call may be admitted in {} ms", millis(retry_after));
                self.decide(state, "rate_limit", "rejected", Some(detail));
            }
            PolicyEvent::ConcurrencyAdmitted { in_flight, max } => {
                self.decide(state, "concurrency", "admitted", Some(format!("{in_flight} of {max} in flight")));
            }
            PolicyEvent::ConcurrencyWaited { wait, max } => {
                let detail = format!("for {} ms, at most {max} in flight", millis(wait));
                self.decide(state, "concurrency", "waited", Some(detail));
            }
            PolicyEvent::ConcurrencyRejected { max, waiting } => {
                let detail = format!("{max} in flight and {waiting} waiting");
                self.decide(state, "concurrency", "rejected", Some(detail));
            }
            PolicyEvent::AttemptStarted { number, wait, reason } => {
                state.cause = None;
                state.attempts.push(AttemptRecord {
                    number,
                    start_ms: millis(self.started.elapsed()),
                    wait_ms: millis(wait),
                    wait_reason: reason.map(|reason| reason.as_str().to_owned()),
                    outcome: AttemptOutcome::Cancelled,
                    status: None,
                    duration_ms: 0,
                });
            }
            PolicyEvent::AttemptEnded { end, duration, .. } => {
                let cause = state.cause.take();
                let outcome = match end {
                    AttemptEnd::Result(Class::Success) => AttemptOutcome::Succeeded,
                    AttemptEnd::Result(Class::Final) => cause.unwrap_or(AttemptOutcome::Rejected),
                    AttemptEnd::Result(_) => cause.unwrap_or(AttemptOutcome::Failed),
                    AttemptEnd::Cancelled => cause.unwrap_or(AttemptOutcome::Cancelled),
                };
                if let Some(attempt) = state.attempts.last_mut() {
                    attempt.outcome = outcome;
                    attempt.duration_ms = millis(duration);
                }
            }
            PolicyEvent::RetryScheduled { number, delay, reason } => {
                let detail = format!("attempt {number} in {} ms ({})", millis(delay), reason.as_str());
                self.decide(state, "retry", "retried", Some(detail));
            }
            PolicyEvent::GaveUp { reason, attempts } => {
                let why = match reason {
                    GaveUpReason::Attempts => "all attempts were used",
                    GaveUpReason::Budget => "the retry budget is spent",
                    GaveUpReason::NotIdempotent => "it is not idempotent, and the upstream may have seen it",
                    GaveUpReason::Final => "the answer is final",
                    GaveUpReason::Deadline => "the next attempt would begin after the deadline",
                    GaveUpReason::Disallowed => "no retry here",
                };
                self.decide(state, "retry", "gave_up", Some(format!("after {attempts}: {why}")));
            }
            PolicyEvent::BreakerRejected { retry_after } => {
                state.cause = Some(AttemptOutcome::BreakerOpen);
                let detail = format!("open: lets a probe through in {} ms", millis(retry_after));
                self.decide(state, "breaker", "rejected", Some(detail));
            }
            PolicyEvent::BreakerTransition { from, to, calls, failures } => {
                state.transitions.push((from, to, calls, failures));
                let decision = match to {
                    BreakerStatus::Open => "opened",
                    BreakerStatus::HalfOpen => "half_opened",
                    _ => "closed",
                };
                let detail = format!("was {}: {failures} of {calls} calls failed", from.as_str());
                self.decide(state, "breaker", decision, Some(detail));
            }
            PolicyEvent::DeadlineExceeded { total } => {
                state.cause = Some(AttemptOutcome::Timeout);
                self.decide(state, "deadline", "exceeded", Some(format!("{} ms in all", millis(total))));
            }
            PolicyEvent::AttemptTimedOut { timeout } => {
                state.cause = Some(AttemptOutcome::Timeout);
                self.decide(state, "timeout", "exceeded", Some(format!("{} ms for an attempt", millis(timeout))));
            }
        }
    }
}

/// Leads the events of a call to its trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallObserver;

impl Observe<CallRequest> for CallObserver {
    type Scope = CallTrace;

    fn scope(&self, request: &CallRequest) -> CallTrace {
        request.trace().clone()
    }
}
