//! The service.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_types::{
    EventType, FieldError, IdempotencyKey, JobAccepted, JobId, JobStatus, JobView, Name, Page, Timestamp, TraceId,
    WorkspaceId,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::view::job_view;
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::engine::{Engine, cursor, page, page_size, wait_until};
use crate::error::Error;
use crate::execute::plan;
use crate::payload::{apart, check_named};
use crate::store::{
    Cancelled, Enqueue, Enqueued, IdempotentAnswer, JobFilter, JobKind, JobRecord, KeyRoute, NewEvent, NewJob,
    PayloadLinks,
};

const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
const FARTHEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const BATCH: usize = 1_000;
const LOOK: Duration = Duration::from_millis(500);
const PRIORITY: u8 = 5;

/// The jobs of workspaces.
#[derive(Clone, Copy)]
pub struct Jobs<'a>(pub(crate) &'a Engine);

/// A call to be made later, and durably.
#[derive(Debug, Clone)]
pub struct JobCall {
    /// The connector's name.
    pub connector: Name,
    /// The operation of its kind.
    pub operation: String,
    /// The operation's input.
    pub input: Value,
    /// Shortens the policy's total deadline of each attempt.
    pub timeout: Option<Duration>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Not before so long from now. Not together with `run_at`.
    pub delay: Option<Duration>,
    /// 0 to 9, higher first; 5 if absent.
    pub priority: Option<u8>,
    /// The callback that the outcome is delivered to.
    pub callback: Option<Name>,
    /// Jobs of one key run one at a time, in order.
    pub ordering_key: Option<String>,
    /// Overrides the policy's number of attempts.
    pub max_attempts: Option<u32>,
    /// Handed to the callback.
    pub metadata: BTreeMap<String, String>,
}

/// Jobs that are durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The jobs, in the order of the request.
    pub jobs: Vec<JobAccepted>,
    /// Whether this is the answer of an earlier request with the same key.
    pub replayed: bool,
}

impl Jobs<'_> {
    /// Accepts up to 1,000 jobs, all or none. When this answers they are durable.
    ///
    /// # Errors
    /// No such workspace, what is wrong with any of the jobs, the key was used with another request, or the store.
    /// Pointers begin with `prefix` and, for more than one job, its index: `/jobs/3/input/path`.
    pub async fn submit(
        &self,
        workspace: &WorkspaceId,
        calls: Vec<JobCall>,
        idempotency: Option<(IdempotencyKey, [u8; 32])>,
        trace_id: TraceId,
        prefix: Option<&str>,
    ) -> Result<Submitted, Error> {
        let live = self.0.serving(workspace).await?;
        if calls.is_empty() || calls.len() > BATCH {
            return Err(Error::invalid(prefix.unwrap_or(""), format!("1 to {BATCH} jobs")));
        }
        if let Some((key, request_hash)) = &idempotency
            && let Some(kept) = self.0.recall(workspace, KeyRoute::Jobs, key).await
        {
            return if kept.request_hash == *request_hash {
                again(&kept.answer)
            } else {
                Err(Error::IdempotencyMismatch)
            };
        }
        let now = self.0.store_time.now();
        let mut jobs = Vec::with_capacity(calls.len());
        let mut problems = Problems::default();
        for (index, call) in calls.into_iter().enumerate() {
            let at = prefix.map(|prefix| format!("{prefix}/{index}")).unwrap_or_default();
            let named = match check_named(self.0, workspace, &call.input).await {
                Err(Error::InvalidInput(errors)) => {
                    problems.in_input(&at, errors);
                    Vec::new()
                }
                named => named?,
            };
            let job = new_job(&live, call, trace_id, now, &at, &mut problems)?;
            jobs.extend(job.map(|job| NewJob { payloads: PayloadLinks { new: Vec::new(), named }, ..job }));
        }
        problems.none()?;
        for job in &mut jobs {
            if let Some(payload) = self.0.store_apart(&live, "application/json", &job.input).await {
                job.input = apart(payload.id);
                job.payloads.new.push(payload);
            }
        }
        let written: Vec<_> = jobs.iter().flat_map(|job| &job.payloads.new).map(|payload| payload.id).collect();
        let accepted: Vec<_> = jobs.iter().map(|job| accepted(job, now)).collect();
        let idempotency = match idempotency {
            Some((key, request_hash)) => {
                let answer = serde_json::to_vec(&accepted).map_err(|error| Error::Internal(error.to_string()))?;
                let expires_at = now.after(KEPT);
                Some(IdempotentAnswer { key, request_hash, answer: Bytes::from(answer), expires_at })
            }
            None => None,
        };
        let enqueue = Enqueue { jobs, idempotency, ..Enqueue::default() };
        let key = enqueue.idempotency.as_ref().map(|kept| kept.key.clone());
        let enqueued = self.0.store.enqueue(workspace, enqueue).await?;
        if let Some(key) = &key {
            self.0.used(workspace, KeyRoute::Jobs, key);
        }
        match enqueued {
            Enqueued::Accepted => Ok(Submitted { jobs: accepted, replayed: false }),
            Enqueued::Replayed(answer) => {
                self.0.discard(workspace, written).await;
                again(&answer)
            }
            Enqueued::Mismatch => {
                self.0.discard(workspace, written).await;
                Err(Error::IdempotencyMismatch)
            }
        }
    }

    /// One job; if it has not ended, waits up to `wait` for it to.
    ///
    /// # Errors
    /// No such workspace or job, or the store.
    pub async fn get(&self, workspace: &WorkspaceId, id: JobId, wait: Duration) -> Result<JobView, Error> {
        self.0.workspace(workspace).await?;
        let deadline = wait_until(wait);
        loop {
            let mut changes = self.0.hub.watch(workspace);
            let record = self.0.store.job(workspace, id).await?;
            let record = record.filter(|record| record.job.kind != JobKind::Callback);
            let record = record.ok_or(Error::not_found("job"))?;
            let now = Instant::now();
            if record.state.is_terminal() || now >= deadline || self.0.draining.is_cancelled() {
                return self.view(workspace, &record).await;
            }
            let pause = (deadline - now).min(LOOK);
            tokio::select! {
                biased;
                _ = timeout(pause, changes.changed()) => {}
                () = self.0.draining.cancelled() => {}
            }
        }
    }

    /// Jobs, newest first, older than `cursor`.
    ///
    /// # Errors
    /// No such workspace, a crooked cursor, or the store.
    pub async fn list(
        &self,
        workspace: &WorkspaceId,
        status: Option<JobStatus>,
        connector: Option<Name>,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Page<JobView>, Error> {
        let limit = page_size(limit);
        self.0.workspace(workspace).await?;
        let filter = JobFilter { status, connector };
        let records = self.0.store.jobs(workspace, &filter, cursor(from)?, limit + 1).await?;
        let found = page(records, limit, |record| record.job.id.to_string());
        let mut items = Vec::with_capacity(found.items.len());
        for record in &found.items {
            items.push(self.view(workspace, record).await?);
        }
        Ok(Page { items, next_cursor: found.next_cursor })
    }

    /// Cancels a job that has not ended. A call that has begun is finished, and its outcome is dropped.
    ///
    /// # Errors
    /// No such workspace or job, it has ended, or the store.
    pub async fn cancel(&self, workspace: &WorkspaceId, id: JobId, trace_id: TraceId) -> Result<JobView, Error> {
        self.0.workspace(workspace).await?;
        let record = self.0.store.job(workspace, id).await?;
        let record = record.filter(|record| record.job.kind == JobKind::Call).ok_or(Error::not_found("job"))?;
        let event = NewEvent::new(EventType::JobCancelled, id, record.job.trace_id, json!({"by_trace": trace_id}));
        match self.0.store.cancel(workspace, id, event).await? {
            Cancelled::Done => self.get(workspace, id, Duration::ZERO).await,
            Cancelled::NotFound => Err(Error::not_found("job")),
            Cancelled::Ended(state) => Err(Error::WrongState {
                code: "job_finished",
                detail: format!("the job has ended: it is {}", state.as_str()),
            }),
        }
    }

    async fn view(&self, workspace: &WorkspaceId, record: &JobRecord) -> Result<JobView, Error> {
        let delivery = match record.delivery {
            Some(delivery) => self.0.store.job(workspace, delivery).await?,
            None => None,
        };
        Ok(job_view(record, delivery.as_ref(), self.0.store_time.now()))
    }
}

/// The answer that the same request got before.
fn again(answer: &[u8]) -> Result<Submitted, Error> {
    let jobs = serde_json::from_slice(answer).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Submitted { jobs, replayed: true })
}

fn accepted(job: &NewJob, now: Timestamp) -> JobAccepted {
    let later = job.run_at.is_some_and(|run_at| run_at > now);
    let status = if later { JobStatus::Scheduled } else { JobStatus::Queued };
    JobAccepted { id: job.id, status, created_at: now, trace_id: job.trace_id }
}

/// Everything that is wrong with the jobs of a request.
#[derive(Default)]
struct Problems {
    errors: Vec<FieldError>,
    in_input: bool,
}

impl Problems {
    /// Notes what is wrong with the input of the job at `at`.
    fn in_input(&mut self, at: &str, errors: Vec<FieldError>) {
        let under = |error: FieldError| FieldError::new(format!("{at}{}", error.pointer), error.detail);
        self.in_input = true;
        self.errors.extend(errors.into_iter().map(under));
    }

    fn none(self) -> Result<(), Error> {
        match self {
            Self { errors, .. } if errors.is_empty() => Ok(()),
            Self { errors, in_input: true } => Err(Error::InvalidInput(errors)),
            Self { errors, .. } => Err(Error::InvalidRequest(errors)),
        }
    }
}

/// The job that a call asks for; `None` if something is wrong with it, which is then among the problems.
fn new_job(
    live: &LiveConfig,
    call: JobCall,
    trace_id: TraceId,
    now: Timestamp,
    at: &str,
    problems: &mut Problems,
) -> Result<Option<NewJob>, Error> {
    let connector = live.connectors.get(&call.connector).ok_or(Error::not_found("connector"))?;
    let before = problems.errors.len();
    match plan(connector, &call.operation, &call.input) {
        Ok(_) => {}
        Err(Error::InvalidInput(errors)) => problems.in_input(at, errors),
        Err(other) => return Err(other),
    }
    let errors = &mut problems.errors;
    let mut wrong = |field: &str, detail: &str| errors.push(FieldError::new(format!("{at}/{field}"), detail));
    if call.priority.is_some_and(|priority| priority > 9) {
        wrong("priority", "0 to 9");
    }
    if call.timeout.is_some_and(|timeout| timeout.is_zero()) {
        wrong("timeout_ms", "at least 1");
    }
    if call.run_at.is_some() && call.delay.is_some() {
        wrong("delay_ms", "either `run_at` or `delay_ms`");
    }
    if call.delay.is_some_and(|delay| delay > FARTHEST) {
        wrong("delay_ms", "at most a year");
    }
    if call.run_at.is_some_and(|run_at| run_at > now.after(FARTHEST)) {
        wrong("run_at", "at most a year from now");
    }
    if call.ordering_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255) {
        wrong("ordering_key", "1 to 255 bytes");
    }
    if call.max_attempts.is_some_and(|max| !(1..=100).contains(&max)) {
        wrong("max_attempts", "1 to 100");
    }
    if call.metadata.len() > 50 {
        wrong("metadata", "at most 50 entries");
    }
    if call.metadata.iter().any(|(key, value)| key.len() > 512 || value.len() > 512) {
        wrong("metadata", "keys and values have at most 512 bytes");
    }
    if call.callback.as_ref().is_some_and(|name| !live.callbacks.contains_key(name)) {
        wrong("callback", "there is no such callback in the active config");
    }
    if errors.len() > before {
        return Ok(None);
    }
    let input = serde_json::to_vec(&call.input).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Some(NewJob {
        id: JobId::new(),
        kind: JobKind::Call,
        max_attempts: call.max_attempts.unwrap_or(connector.policy.job_retry.max_attempts),
        connector: Some(call.connector),
        operation: call.operation,
        input: Bytes::from(input),
        priority: call.priority.unwrap_or(PRIORITY),
        run_at: call.run_at.or_else(|| call.delay.map(|delay| now.after(delay))),
        ordering_key: call.ordering_key,
        callback: call.callback,
        metadata: call.metadata,
        timeout: call.timeout,
        subject: None,
        delivery_id: None,
        trace_id,
        payloads: PayloadLinks::default(),
    }))
}
