//! One attempt of one job: from the claim to what is to be settled.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use orchestrator_types::{ErrorView, JobRetryPolicy, Name, WorkspaceStatus};
use serde_json::Value;
use tower::ServiceExt;

use super::dispatch::Worker;
use super::lanes::Coming;
use crate::callback::Delivery;
use crate::config::{LiveConfig, LiveConnector};
use crate::connector::{CallContext, PlanError};
use crate::error::Error;
use crate::execute::{Attempt, CallRequest, CallStack, ConnectorAttempt, JobCall};
use crate::payload::{PayloadAccess, PayloadError};
use crate::policy::PolicyState;
use crate::store::{JobKind, JobRecord, LaneKey, PayloadLinks, Settlement};

/// When the store does not answer, likewise.
const UNAVAILABLE: Duration = Duration::from_secs(1);
/// A lane that is full is left alone for at least so long.
const FULL: Duration = Duration::from_millis(50);

/// What an attempt needs, whatever the kind of job.
pub(super) struct Prepared {
    attempt: Arc<dyn Attempt>,
    pub(super) target: Name,
    stack: CallStack,
    state: Arc<PolicyState>,
    pub(super) retry: JobRetryPolicy,
    pub(super) idempotent: bool,
    pub(super) resend: bool,
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
        // Asked before anything is read or sent: a job that waits for its lane costs nothing, and a call that the bulkhead
        // refuses has already spent of the rate limit.
        if let Some((lane, state)) = lane_state(&live, record) {
            self.lanes.meet(&lane, &state);
            let full = state.bulkhead().filter(|places| places.in_flight() >= places.max()).map(|_| FULL);
            if let Some(wait) = state.lane_wait().max(full) {
                self.lanes.pause(&lane, wait);
                return self.give_back(record, Some(wait));
            }
        }
        let input = match self.engine.job_input(&record.workspace, &record.job.input).await {
            Ok(input) => input,
            Err(error @ (PayloadError::Lost | PayloadError::NotFound)) => {
                tracing::warn!(workspace = %record.workspace, job = %record.job.id, %error, "the input of a job is lost");
                let error = view("payload_lost", "the input was stored apart, and is lost");
                return self.dead(record, Some(&live), "payload_lost", error, Vec::new(), None);
            }
            Err(_) => return self.give_back(record, Some(UNAVAILABLE)),
        };
        let access = self.engine.payload_access(&live);
        let prepared = match self.prepare(&live, record, &input, access.clone()) {
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
        let (result, payloads) = match result {
            Ok(output) if record.job.kind == JobKind::Call => {
                let (apart, links) = self.engine.output_apart(&live, access.as_ref(), &output).await;
                (Ok(apart.unwrap_or(output)), links)
            }
            other => (other, PayloadLinks::default()),
        };
        self.settlement(&live, record, &prepared, &request, started_at, result, payloads)
    }

    /// A job that lost too many leases is taken for the cause.
    pub(super) async fn poison(&self, record: &JobRecord) -> Settlement {
        let live = self.engine.live(&record.workspace).await.ok();
        let error = view("poison", "its worker was lost each time it ran");
        self.dead(record, live.as_deref(), "poison", error, Vec::new(), None)
    }

    fn prepare(
        &self,
        live: &Arc<LiveConfig>,
        record: &JobRecord,
        input: &[u8],
        access: Option<PayloadAccess>,
    ) -> Result<Prepared, Unprepared> {
        match record.job.kind {
            JobKind::Call => {
                let name = record.job.connector.as_ref().ok_or(Unprepared::Absent)?;
                // Unknown here may be known elsewhere, or again after a rollback: never a reason to kill it.
                let connector = live.connectors.get(name).ok_or(Unprepared::Absent)?;
                prepare_call(connector, record, input, access)
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
            clock: self.engine.store_time.clone(),
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
}

fn prepare_call(
    connector: &Arc<LiveConnector>,
    record: &JobRecord,
    input: &[u8],
    access: Option<PayloadAccess>,
) -> Result<Prepared, Unprepared> {
    let invalid = |detail: &str| Unprepared::Dead("invalid", view("invalid_input", detail));
    let input: Value = serde_json::from_slice(input).map_err(|_| invalid("the input cannot be read"))?;
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
    let context = match access {
        Some(access) => context.with_payloads(access),
        None => context,
    };
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

fn view(code: &str, detail: &str) -> ErrorView {
    ErrorView { code: code.to_owned(), detail: detail.to_owned(), upstream: None }
}

/// The lane of a job, by what it names.
pub(super) fn lane_of(record: &JobRecord) -> Option<LaneKey> {
    let target = if record.job.kind == JobKind::Call { &record.job.connector } else { &record.job.callback };
    target.as_ref().map(|target| lane(record, target))
}

/// The lane of a job, and what its policies remember; `None` if what it names is not in the config.
fn lane_state(live: &LiveConfig, record: &JobRecord) -> Option<(LaneKey, Arc<PolicyState>)> {
    let lane = lane_of(record)?;
    let state = if lane.delivery {
        &live.callbacks.get(&lane.target)?.state
    } else {
        &live.connectors.get(&lane.target)?.state
    };
    let state = state.clone();
    Some((lane, state))
}

fn lane(record: &JobRecord, target: &Name) -> LaneKey {
    let delivery = record.job.kind != JobKind::Call;
    LaneKey { workspace: record.workspace.clone(), delivery, target: target.clone() }
}
