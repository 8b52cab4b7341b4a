//! One attempt of one job: from the claim to what is to be settled.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_types::{
    ErrorView, EventType, Jitter, JobId, JobRetryPolicy, Name, RequestId, RequestKind, RequestView, Timestamp,
    WorkspaceStatus,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::dispatch::Worker;
use super::lanes::Coming;
use crate::callback::{Delivery, render_job};
use crate::config::{LiveConfig, LiveConnector};
use crate::connector::{CallContext, PlanError};
use crate::error::Error;
use crate::execute::{Attempt, CallFault, CallRequest, CallStack, ConnectorAttempt, JobCall};
use crate::policy::PolicyState;
use crate::policy::backoff::{Exponential, Schedule};
use crate::store::{HeldLease, JobKind, JobRecord, LaneKey, NewEvent, NewJob, Outcome, Settlement};

/// A job whose connector, callback or workspace is not there now waits so long before it is looked at again.
const ABSENT: Duration = Duration::from_secs(30);
/// When the store does not answer, likewise.
const UNAVAILABLE: Duration = Duration::from_secs(1);
/// A lane that is full is left alone for at least so long.
const FULL: Duration = Duration::from_millis(50);

/// What an attempt needs, whatever the kind of job.
struct Prepared {
    attempt: Arc<dyn Attempt>,
    target: Name,
    stack: CallStack,
    state: Arc<PolicyState>,
    retry: JobRetryPolicy,
    idempotent: bool,
    resend: bool,
}

/// Why a job is not attempted now.
enum Unprepared {
    /// Something that it needs is not there: it may come back.
    Absent,
    /// It can never run.
    Dead(&'static str, ErrorView),
}

impl Worker {
    /// Makes the attempt that was claimed.
    pub(super) async fn run(&self, record: &JobRecord, coming: Coming) -> Settlement {
        let live = match self.engine.live(&record.workspace).await {
            Ok(live) if live.status == WorkspaceStatus::Active || record.job.kind != JobKind::Call => live,
            Ok(_) => return self.absent(record),
            Err(Error::NotFound { .. }) => {
                let error = view("workspace_deleted", "the workspace is deleted");
                return self.dead(record, None, "workspace_deleted", error, Vec::new(), None);
            }
            Err(_) => return self.give_back(record, Some(UNAVAILABLE)),
        };
        let prepared = match self.prepare(&live, record) {
            Ok(prepared) => prepared,
            Err(Unprepared::Absent) => {
                tracing::warn!(workspace = %record.workspace, job = %record.job.id, "what a job needs is not in the active config");
                return self.absent(record);
            }
            Err(Unprepared::Dead(reason, error)) => {
                return self.dead(record, Some(&live), reason, error, Vec::new(), None);
            }
        };
        let lane = lane(record, &prepared.target);
        self.lanes.meet(&lane, &prepared.state);
        // Asked before the stack is, in which a call that the bulkhead refuses has already spent of the rate limit.
        let full = prepared.state.bulkhead().filter(|places| places.in_flight() >= places.max()).map(|_| FULL);
        if let Some(wait) = prepared.state.lane_wait().max(full) {
            self.lanes.pause(&lane, wait);
            return self.give_back(record, Some(wait));
        }
        // A lease that was lost is no failure of the upstream: taking over spends none of its retries.
        let again = record.attempt > 1 + record.lost_leases;
        if again && !prepared.state.budget().withdraw() {
            return self.give_back(record, Some(self.lanes.retry_turn(&lane)));
        }
        let job = JobCall { again, inner_retry: prepared.retry.inner_retry };
        let request = CallRequest::in_job(prepared.attempt.clone(), prepared.idempotent, record.job.timeout, job);
        let started_at = self.engine.clock.now();
        let mut call = pin!(prepared.stack.clone().oneshot(request.clone()));
        // Nothing waits for a limit in a job: once it was polled, all of them have decided.
        let decided = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        drop(coming);
        let result = match decided {
            Poll::Ready(result) => result,
            Poll::Pending => call.await,
        };
        if let Err(fault) = &result
            && request.trace().attempts() == 0
            && let Some(wait) = fault.retry_after()
        {
            // A limit or the open breaker: nothing was tried, so nothing is counted.
            let wait = wait.max(FULL);
            self.lanes.pause(&lane, wait);
            if again {
                prepared.state.budget().refund();
            }
            let events = request.trace().breaker_events(prepared.target.as_str(), record.job.trace_id);
            return Settlement { events, ..self.give_back(record, Some(wait)) };
        }
        self.settlement(&live, record, &prepared, &request, started_at, result)
    }

    /// A job that lost too many leases is taken for the cause.
    pub(super) async fn poison(&self, record: &JobRecord) -> Settlement {
        let live = self.engine.live(&record.workspace).await.ok();
        let error = view("poison", "its worker was lost each time it ran");
        self.dead(record, live.as_deref(), "poison", error, Vec::new(), None)
    }

    fn prepare(&self, live: &Arc<LiveConfig>, record: &JobRecord) -> Result<Prepared, Unprepared> {
        match record.job.kind {
            JobKind::Call => {
                let name = record.job.connector.as_ref().ok_or(Unprepared::Absent)?;
                // Unknown here may be known elsewhere, or again after a rollback: never a reason to kill it.
                let connector = live.connectors.get(name).ok_or(Unprepared::Absent)?;
                prepare_call(connector, record)
            }
            JobKind::Webhook | JobKind::Callback => self.prepare_delivery(live, record).ok_or(Unprepared::Absent),
        }
    }

    fn prepare_delivery(&self, live: &Arc<LiveConfig>, record: &JobRecord) -> Option<Prepared> {
        let callback = live.callbacks.get(record.job.callback.as_ref()?)?;
        let retry = callback.policy.job_retry.clone();
        let attempt = Delivery {
            transport: self.engine.callbacks.clone()?,
            secrets: self.engine.secrets.clone(),
            clock: self.engine.clock.clone(),
            workspace: record.workspace.clone(),
            url: callback.config.url.clone(),
            signing_secret: callback.signing_secret.clone(),
            id: record.job.delivery_id.clone().unwrap_or_else(|| record.job.id.to_string()),
            trace_id: record.job.trace_id,
            fence: record.fence,
            body: record.job.input.clone(),
            last_refusal: record.attempt >= retry.permanent_after,
        };
        Some(Prepared {
            attempt: Arc::new(attempt),
            target: callback.name.clone(),
            stack: callback.stack.clone(),
            state: callback.state.clone(),
            retry,
            // Products deduplicate by `webhook-id`.
            idempotent: true,
            resend: true,
        })
    }

    fn settlement(
        &self,
        live: &LiveConfig,
        record: &JobRecord,
        prepared: &Prepared,
        request: &CallRequest,
        started_at: Timestamp,
        result: Result<Value, CallFault>,
    ) -> Settlement {
        let error = result.as_ref().err().map(CallFault::view);
        let events = request.trace().breaker_events(prepared.target.as_str(), record.job.trace_id);
        let attempts = request.trace().attempts();
        let (attempts_log, decisions) = request.trace().take();
        let log = RequestView {
            id: RequestId::new(),
            kind: if record.job.kind == JobKind::Call { RequestKind::Job } else { RequestKind::Callback },
            subject: subject(record),
            target: prepared.target.clone(),
            operation: record.job.operation.clone(),
            status: if error.is_none() { "succeeded" } else { "failed" }.to_owned(),
            error: error.clone(),
            attempts,
            duration_ms: u64::try_from(request.elapsed().as_millis()).unwrap_or(u64::MAX),
            started_at,
            config_version: live.version,
            trace_id: record.job.trace_id,
            attempts_log,
            decisions,
        };
        self.engine.log_call(live, &log);
        let (Err(fault), Some(error)) = (&result, error) else {
            return self.succeeded(live, record, result.unwrap_or_default(), events, log);
        };
        let passes = match (fault.may_pass(), fault) {
            (Some(retry_after), _) => Some(retry_after),
            // A secret may be put right meanwhile.
            (None, CallFault::Call(call)) if call.kind == crate::connector::CallErrorKind::SecretUnavailable => {
                Some(None)
            }
            (None, _) => None,
        };
        let Some(retry_after) = passes else {
            return self.dead(record, Some(live), "rejected", error, events, Some(log));
        };
        if record.attempt >= record.job.max_attempts {
            return self.dead(record, Some(live), "exhausted", error, events, Some(log));
        }
        if fault.maybe_sent() && !prepared.idempotent && !prepared.resend {
            return self.dead(record, Some(live), "not_idempotent", error, events, Some(log));
        }
        self.retry(record, &prepared.retry, retry_after, error, events, log)
    }

    fn succeeded(
        &self,
        live: &LiveConfig,
        record: &JobRecord,
        output: Value,
        mut events: Vec<NewEvent>,
        log: RequestView,
    ) -> Settlement {
        let data = json!({"attempt": record.attempt, "duration_ms": log.duration_ms});
        if record.job.kind.has_events() {
            events.push(NewEvent::new(EventType::JobSucceeded, record.job.id, record.job.trace_id, data));
        }
        let delivery = if record.job.kind == JobKind::Call {
            self.delivery(Some(live), record, Ok(&output))
        } else {
            let data = json!({"callback": log.target, "attempt": record.attempt, "job": record.job.id,
                "webhook_id": record.job.delivery_id});
            events.push(NewEvent::new(EventType::CallbackDelivered, subject(record), record.job.trace_id, data));
            None
        };
        let output = serde_json::to_vec(&output).ok().map(Bytes::from);
        Settlement {
            lease: lease(record),
            outcome: Outcome::Succeeded { output },
            events,
            request: Some(log),
            delivery,
        }
    }

    fn retry(
        &self,
        record: &JobRecord,
        policy: &JobRetryPolicy,
        retry_after: Option<Duration>,
        error: ErrorView,
        mut events: Vec<NewEvent>,
        log: RequestView,
    ) -> Settlement {
        let schedule = Exponential::from(policy);
        let longest = Duration::from_millis(policy.max_ms);
        // The wait before is not kept: decorrelated jitter goes on from what it would have been without jitter.
        let plain = Exponential { jitter: Jitter::None, ..schedule };
        let previous = plain.delay(record.attempt.saturating_sub(1).max(1), Duration::ZERO, &mut fastrand::Rng::new());
        let wait = match retry_after {
            Some(wait) => wait.min(longest),
            None => schedule.delay(record.attempt, previous, &mut fastrand::Rng::new()),
        };
        let run_at = self.engine.clock.now().after(wait);
        if record.job.kind.has_events() {
            let data = json!({"attempt": record.attempt, "max_attempts": record.job.max_attempts, "code": error.code,
                "run_at": run_at});
            events.push(NewEvent::new(EventType::JobRetrying, record.job.id, record.job.trace_id, data));
        }
        let outcome = Outcome::Retry { run_at, error };
        Settlement { lease: lease(record), outcome, events, request: Some(log), delivery: None }
    }

    fn dead(
        &self,
        record: &JobRecord,
        live: Option<&LiveConfig>,
        reason: &str,
        error: ErrorView,
        mut events: Vec<NewEvent>,
        request: Option<RequestView>,
    ) -> Settlement {
        let data = json!({"reason": reason, "code": error.code, "attempts": record.attempt});
        if record.job.kind.has_events() {
            events.push(NewEvent::new(EventType::JobDead, record.job.id, record.job.trace_id, data));
        }
        let delivery = if record.job.kind == JobKind::Call {
            self.delivery(live, record, Err(&error))
        } else {
            let data = json!({"callback": record.job.callback, "reason": reason, "code": error.code, "job": record.job.id,
                "attempts": record.attempt, "webhook_id": record.job.delivery_id});
            events.push(NewEvent::new(EventType::CallbackFailed, subject(record), record.job.trace_id, data));
            None
        };
        let outcome = Outcome::Dead { reason: reason.to_owned(), error };
        Settlement { lease: lease(record), outcome, events, request, delivery }
    }

    /// Gives back a job that cannot run now, and looks at none of its kind for a while.
    fn absent(&self, record: &JobRecord) -> Settlement {
        if let Some(lane) = lane_of(record) {
            self.lanes.pause(&lane, ABSENT);
        }
        self.give_back(record, Some(ABSENT))
    }

    fn give_back(&self, record: &JobRecord, wait: Option<Duration>) -> Settlement {
        let run_at = wait.map(|wait| self.engine.clock.now().after(wait));
        let outcome = Outcome::GiveBack { run_at };
        Settlement { lease: lease(record), outcome, events: Vec::new(), request: None, delivery: None }
    }

    /// The job that delivers the outcome, where one is asked for.
    fn delivery(
        &self,
        live: Option<&LiveConfig>,
        record: &JobRecord,
        outcome: Result<&Value, &ErrorView>,
    ) -> Option<NewJob> {
        let callback = record.job.callback.clone()?;
        let policy = live.and_then(|live| live.callbacks.get(&callback)).map(|live| &live.policy.job_retry);
        let input = render_job(record, outcome, self.engine.clock.now())
            .inspect_err(|error| tracing::error!(%error, job = %record.job.id, "an outcome could not be rendered"))
            .ok()?;
        let id = JobId::new();
        // A job that was replayed has told of another outcome before: what deduplicates by id must not take this for it.
        let told = if record.delivery.is_some() { id } else { record.job.id };
        Some(NewJob {
            id,
            kind: JobKind::Callback,
            connector: None,
            operation: if outcome.is_ok() { EventType::JobSucceeded } else { EventType::JobDead }.as_str().to_owned(),
            input,
            priority: record.job.priority,
            run_at: None,
            max_attempts: policy.map_or_else(|| JobRetryPolicy::default().max_attempts, |policy| policy.max_attempts),
            ordering_key: None,
            callback: Some(callback),
            metadata: std::collections::BTreeMap::new(),
            timeout: None,
            subject: Some(record.job.id.to_string()),
            delivery_id: Some(told.to_string()),
            trace_id: record.job.trace_id,
        })
    }
}

fn prepare_call(connector: &Arc<LiveConnector>, record: &JobRecord) -> Result<Prepared, Unprepared> {
    let invalid = |detail: &str| Unprepared::Dead("invalid", view("invalid_input", detail));
    let input: Value = serde_json::from_slice(&record.job.input).map_err(|_| invalid("the input cannot be read"))?;
    let plan = connector.connector.plan(&record.job.operation, &input).map_err(|error| match error {
        PlanError::OperationNotFound => {
            Unprepared::Dead("invalid", view("operation_not_found", "the connector has no such operation any more"))
        }
        PlanError::InvalidInput(_) => invalid("the input is not what the operation takes any more"),
    })?;
    let context = CallContext::new(
        record.workspace.clone(),
        connector.name.clone(),
        record.job.id.to_string(),
        record.job.trace_id,
    );
    let attempt = ConnectorAttempt {
        connector: connector.connector.clone(),
        context: context.with_fence(record.fence),
        operation: record.job.operation.clone(),
        input,
        secrets: connector.secrets.clone(),
    };
    Ok(Prepared {
        attempt: Arc::new(attempt),
        target: connector.name.clone(),
        stack: connector.stack.clone(),
        state: connector.state.clone(),
        retry: connector.policy.job_retry.clone(),
        idempotent: plan.idempotent,
        resend: connector.policy.retry.as_ref().is_some_and(|retry| retry.non_idempotent),
    })
}

/// What a job is about: itself, or what it delivers.
fn subject(record: &JobRecord) -> String {
    match (&record.job.subject, record.job.kind) {
        (Some(subject), JobKind::Webhook | JobKind::Callback) => subject.clone(),
        _ => record.job.id.to_string(),
    }
}

fn view(code: &str, detail: &str) -> ErrorView {
    ErrorView { code: code.to_owned(), detail: detail.to_owned(), upstream: None }
}

/// The lane of a job, by what it names.
pub(super) fn lane_of(record: &JobRecord) -> Option<LaneKey> {
    let target = if record.job.kind == JobKind::Call { &record.job.connector } else { &record.job.callback };
    target.as_ref().map(|target| lane(record, target))
}

fn lane(record: &JobRecord, target: &Name) -> LaneKey {
    let delivery = record.job.kind != JobKind::Call;
    LaneKey { workspace: record.workspace.clone(), delivery, target: target.clone() }
}

pub(super) fn lease(record: &JobRecord) -> HeldLease {
    HeldLease { workspace: record.workspace.clone(), job: record.job.id, fence: record.fence }
}
