//! How an attempt ended, as what is written of it: the outcome, its events, its record, and the delivery that it causes.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_types::{
    ErrorView, EventType, Jitter, JobId, JobRetryPolicy, RequestId, RequestKind, RequestView, Timestamp,
};
use serde_json::{Value, json};

use super::dispatch::Worker;
use super::run::{Prepared, lane_of};
use crate::callback::render_job;
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::connector::CallErrorKind;
use crate::execute::{CallFault, CallRequest};
use crate::policy::backoff::{Exponential, Schedule};
use crate::store::{HeldLease, JobKind, JobRecord, NewEvent, NewJob, Outcome, PayloadLinks, Settlement};

/// A job whose connector, callback or workspace is not there now waits so long before it is looked at again.
const ABSENT: Duration = Duration::from_secs(30);

impl Worker {
    #[allow(clippy::too_many_arguments, reason = "what is known of an attempt, each of its own source")]
    pub(super) fn settlement(
        &self,
        live: &LiveConfig,
        record: &JobRecord,
        prepared: &Prepared,
        request: &CallRequest,
        started_at: Timestamp,
        result: Result<Value, CallFault>,
        payloads: PayloadLinks,
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
            return self.succeeded(live, record, result.unwrap_or_default(), events, log, payloads);
        };
        let passes = match (fault.may_pass(), fault) {
            (Some(retry_after), _) => Some(retry_after),
            // A secret may be put right meanwhile.
            (None, CallFault::Call(call)) if call.kind == CallErrorKind::SecretUnavailable => Some(None),
            (None, _) => None,
        };
        if let CallFault::Call(call) = fault
            && call.kind == CallErrorKind::PayloadLost
        {
            return self.dead(record, Some(live), "payload_lost", error, events, Some(log));
        }
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
        payloads: PayloadLinks,
    ) -> Settlement {
        let data = json!({"attempt": record.attempt, "duration_ms": log.duration_ms});
        if record.job.kind.has_events() {
            events.push(NewEvent::new(EventType::JobSucceeded, record.job.id, record.job.trace_id, data));
        }
        let delivery = if record.job.kind == JobKind::Call {
            self.delivery(Some(live), record, Ok(&output), &payloads)
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
            payloads,
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
        let run_at = self.engine.store_time.now().after(wait);
        if record.job.kind.has_events() {
            let data = json!({"attempt": record.attempt, "max_attempts": record.job.max_attempts, "code": error.code,
                "run_at": run_at});
            events.push(NewEvent::new(EventType::JobRetrying, record.job.id, record.job.trace_id, data));
        }
        let outcome = Outcome::Retry { run_at, error };
        let payloads = PayloadLinks::default();
        Settlement { lease: lease(record), outcome, events, request: Some(log), delivery: None, payloads }
    }

    pub(super) fn dead(
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
            self.delivery(live, record, Err(&error), &PayloadLinks::default())
        } else {
            let data = json!({"callback": record.job.callback, "reason": reason, "code": error.code, "job": record.job.id,
                "attempts": record.attempt, "webhook_id": record.job.delivery_id});
            events.push(NewEvent::new(EventType::CallbackFailed, subject(record), record.job.trace_id, data));
            None
        };
        let outcome = Outcome::Dead { reason: reason.to_owned(), error };
        Settlement { lease: lease(record), outcome, events, request, delivery, payloads: PayloadLinks::default() }
    }

    /// Gives back a job that cannot run now, and looks at none of its kind for a while.
    pub(super) fn absent(&self, record: &JobRecord) -> Settlement {
        if let Some(lane) = lane_of(record) {
            self.lanes.pause(&lane, ABSENT);
        }
        self.give_back(record, Some(ABSENT))
    }

    pub(super) fn give_back(&self, record: &JobRecord, wait: Option<Duration>) -> Settlement {
        let run_at = wait.map(|wait| self.engine.store_time.now().after(wait));
        let outcome = Outcome::GiveBack { run_at };
        let payloads = PayloadLinks::default();
        Settlement { lease: lease(record), outcome, events: Vec::new(), request: None, delivery: None, payloads }
    }

    /// The job that delivers the outcome, where one is asked for.
    fn delivery(
        &self,
        live: Option<&LiveConfig>,
        record: &JobRecord,
        outcome: Result<&Value, &ErrorView>,
        payloads: &PayloadLinks,
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
            // The delivery may outlive the job: what it tells of stays as long.
            payloads: PayloadLinks { new: Vec::new(), named: payloads.all() },
        })
    }
}

/// What a job is about: itself, or what it delivers.
fn subject(record: &JobRecord) -> String {
    match (&record.job.subject, record.job.kind) {
        (Some(subject), JobKind::Webhook | JobKind::Callback) => subject.clone(),
        _ => record.job.id.to_string(),
    }
}

pub(super) fn lease(record: &JobRecord) -> HeldLease {
    HeldLease { workspace: record.workspace.clone(), job: record.job.id, fence: record.fence }
}
