//! What happened to one call, as the policies tell it: the source of `attempts_log` and `decisions`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orchestrator_types::{AttemptOutcome, AttemptRecord, Decision, EventType, TraceId};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::call::CallRequest;
use super::decision::{decision, millis};
use crate::connector::{CallError, CallErrorKind};
use crate::policy::breaker::{BreakerStatus, Counts};
use crate::policy::{AttemptEnd, Class, Observe, PolicyEvent, Scope, WaitReason};
use crate::store::NewEvent;

/// Takes the events of one call. Every attempt of it has two sides at most: itself, and the hedge that was sent beside it.
#[derive(Clone)]
pub(crate) struct CallTrace {
    started: Instant,
    state: Arc<Mutex<State>>,
    side: Side,
}

/// Which of the two that run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Hedge,
}

#[derive(Default)]
struct State {
    attempts: Vec<AttemptRecord>,
    decisions: Vec<Decision>,
    transitions: Vec<(BreakerStatus, BreakerStatus, Counts)>,
    first: Running,
    hedge: Running,
    fell_back: bool,
}

/// An attempt under way.
#[derive(Default)]
struct Running {
    /// Its place in the list of attempts.
    at: Option<usize>,
    /// What its end was made by, as far as that is known.
    cause: Option<AttemptOutcome>,
    /// Its result is not its own: the hedge beside it was answered first.
    superseded: bool,
}

impl State {
    fn running(&mut self, side: Side) -> &mut Running {
        match side {
            Side::First => &mut self.first,
            Side::Hedge => &mut self.hedge,
        }
    }

    fn begin(&mut self, side: Side, start: Duration, wait: Duration, reason: Option<&str>) {
        let at = self.attempts.len();
        self.attempts.push(AttemptRecord {
            number: u32::try_from(at + 1).unwrap_or(u32::MAX),
            start_ms: millis(start),
            wait_ms: millis(wait),
            wait_reason: reason.map(str::to_owned),
            outcome: AttemptOutcome::Cancelled,
            status: None,
            duration_ms: 0,
        });
        *self.running(side) = Running { at: Some(at), ..Running::default() };
    }

    fn end(&mut self, side: Side, end: AttemptEnd, duration: Duration) {
        let Running { at, cause, superseded } = std::mem::take(self.running(side));
        let outcome = match end {
            _ if superseded => cause.unwrap_or(AttemptOutcome::Cancelled),
            AttemptEnd::Result(Class::Success) => AttemptOutcome::Succeeded,
            AttemptEnd::Result(Class::Final) => cause.unwrap_or(AttemptOutcome::Rejected),
            AttemptEnd::Result(_) => cause.unwrap_or(AttemptOutcome::Failed),
            AttemptEnd::Cancelled => cause.unwrap_or(AttemptOutcome::Cancelled),
        };
        if let Some(attempt) = at.and_then(|at| self.attempts.get_mut(at)) {
            attempt.outcome = outcome;
            attempt.duration_ms = millis(duration);
        }
    }
}

impl CallTrace {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, state: Arc::default(), side: Side::First }
    }

    /// The same, for the copy of the request that is sent as a hedge.
    pub(super) fn of_hedge(&self) -> Self {
        Self { side: Side::Hedge, ..self.clone() }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the upstream said to the attempt that is running.
    pub(crate) fn answered(&self, result: Result<&Value, &CallError>) {
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
        let mut state = self.locked();
        let running = state.running(self.side);
        running.cause = cause;
        let at = running.at;
        if let Some(attempt) = at.and_then(|at| state.attempts.get_mut(at)) {
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

    /// Whether the policy's fallback answered.
    pub(crate) fn fell_back(&self) -> bool {
        self.locked().fell_back
    }

    /// The breaker's changes because of this call, as events of its workspace.
    pub(crate) fn breaker_events(&self, target: &str, trace_id: TraceId) -> Vec<NewEvent> {
        let transitions = std::mem::take(&mut self.locked().transitions);
        let event = |(from, to, Counts { calls, failures, slow }): (BreakerStatus, BreakerStatus, Counts)| {
            let kind = match to {
                BreakerStatus::Open => EventType::BreakerOpened,
                BreakerStatus::HalfOpen => EventType::BreakerHalfOpened,
                BreakerStatus::Closed => EventType::BreakerClosed,
            };
            let data =
                json!({"from": from.as_str(), "to": to.as_str(), "calls": calls, "failures": failures, "slow": slow});
            NewEvent::new(kind, target, trace_id, data)
        };
        transitions.into_iter().map(event).collect()
    }
}

impl Scope for CallTrace {
    fn event(&self, event: PolicyEvent) {
        let at = self.started.elapsed();
        let mut guard = self.locked();
        let state = &mut *guard;
        state.decisions.extend(decision(&event, at));
        match event {
            PolicyEvent::AttemptStarted { wait, reason, .. } => {
                state.begin(Side::First, at, wait, reason.map(WaitReason::as_str));
            }
            PolicyEvent::AttemptEnded { end, duration, .. } => state.end(Side::First, end, duration),
            PolicyEvent::HedgeStarted { delay } => state.begin(Side::Hedge, at, delay, Some("hedge")),
            PolicyEvent::HedgeEnded { end, duration, used } => {
                state.end(Side::Hedge, end, duration);
                // The end of the attempt is told after this, with the result of its hedge.
                state.first.superseded = used;
            }
            PolicyEvent::BreakerRejected { .. } => state.running(self.side).cause = Some(AttemptOutcome::BreakerOpen),
            PolicyEvent::BreakerTransition { from, to, counts } => state.transitions.push((from, to, counts)),
            PolicyEvent::DeadlineExceeded { .. } => {
                state.first.cause = Some(AttemptOutcome::Timeout);
                state.hedge.cause = Some(AttemptOutcome::Timeout);
            }
            PolicyEvent::AttemptTimedOut { .. } => state.running(self.side).cause = Some(AttemptOutcome::Timeout),
            PolicyEvent::FellBack => state.fell_back = true,
            _ => {}
        }
    }
}

/// Leads the events of a call to its trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallObserver;

impl Observe<CallRequest> for CallObserver {
    type Scope = CallTrace;

    fn scope(&self, request: &CallRequest) -> CallTrace {
        request.trace()
    }
}
