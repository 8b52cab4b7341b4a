//! Jobs: accepted, run by the script of their operation, told by events and callbacks.

use std::sync::Arc;

use http::StatusCode;
use orchestrator_types::{
    CallbackType, CallbackView, EventType, JobAccepted, JobBatchAccepted, JobBatchRequest, JobCallbackData, JobId,
    JobRequest, JobStatus, JobView, Page, TraceId,
};
use serde_json::json;
use std::time::Duration;

use super::answer::Answer;
use super::outcome::Outcome;
use super::record::MockCall;
use super::refusal::Refusal;
use super::state::{Job, Shared, now};
use crate::code::ErrorCode;

const MAX_BATCH: usize = 1_000;
const MAX_ATTEMPTS: u32 = 8;

impl Shared {
    /// `POST /jobs`.
    pub(super) fn submit(
        self: &Arc<Self>,
        request: JobRequest,
        key: Option<String>,
        trace: TraceId,
    ) -> Result<Answer, Refusal> {
        let accepted = self.accept(vec![request], key, trace)?;
        accepted.first().map_or_else(|| Err(Refusal::not_found()), |job| Ok(Answer::json(StatusCode::ACCEPTED, job)))
    }

    /// `POST /jobs/batch`.
    pub(super) fn submit_batch(
        self: &Arc<Self>,
        request: JobBatchRequest,
        key: Option<String>,
        trace_id: TraceId,
    ) -> Result<Answer, Refusal> {
        if !(1..=MAX_BATCH).contains(&request.jobs.len()) {
            return Err(Refusal::invalid("/jobs", "a batch has 1 to 1000 jobs"));
        }
        let jobs = self.accept(request.jobs, key, trace_id)?;
        Ok(Answer::json(StatusCode::ACCEPTED, &JobBatchAccepted { jobs, trace_id }))
    }

    /// All or none.
    fn accept(
        self: &Arc<Self>,
        requests: Vec<JobRequest>,
        key: Option<String>,
        trace_id: TraceId,
    ) -> Result<Vec<JobAccepted>, Refusal> {
        for request in &requests {
            let state = self.state();
            state.scripted(&request.connector, &request.operation)?;
            if let Some(callback) = request.callback.as_ref().filter(|name| !state.callbacks.contains_key(*name)) {
                let detail = format!("no callback `{callback}`: `server.callback(\"{callback}\", …)`");
                return Err(Refusal::new(ErrorCode::CallbackNotFound, detail));
            }
            if request.priority.is_some_and(|priority| priority > 9) {
                return Err(Refusal::invalid("/priority", "is 0 to 9"));
            }
            if request.run_at.is_some() && request.delay_ms.is_some() {
                return Err(Refusal::invalid("/delay_ms", "`run_at` and `delay_ms` are the same: give one"));
            }
        }
        Ok(requests.into_iter().map(|request| self.enqueue(request, key.clone(), trace_id)).collect())
    }

    fn enqueue(self: &Arc<Self>, request: JobRequest, key: Option<String>, trace_id: TraceId) -> JobAccepted {
        let (id, created_at) = (JobId::new(), now());
        let later = request.delay_ms.map(|delay| created_at.after(Duration::from_millis(delay)));
        let run_at = request.run_at.or(later).unwrap_or(created_at);
        let status = if run_at > created_at { JobStatus::Scheduled } else { JobStatus::Queued };
        let callback = request.callback.clone();
        let view = JobView {
            id,
            status,
            connector: Some(request.connector.clone()),
            operation: request.operation.clone(),
            attempt: 0,
            max_attempts: request.max_attempts.unwrap_or(MAX_ATTEMPTS).max(1),
            created_at,
            run_at,
            finished_at: None,
            output: None,
            error: None,
            callback: callback.map(|name| CallbackView { name, status: "waiting".to_owned(), attempts: 0 }),
            trace_id,
            metadata: request.metadata.clone(),
        };
        let data = json!({"connector": request.connector, "operation": request.operation});
        let held = self.change(|state| {
            state.jobs.insert(id, Job { view, request, key });
            state.held
        });
        self.emit(EventType::JobQueued, &id.to_string(), trace_id, data);
        if status == JobStatus::Queued && !held {
            self.start(id);
        }
        JobAccepted { id, status, created_at, trace_id }
    }

    /// Runs a job in the background, unless it runs already or has ended.
    pub(super) fn start(self: &Arc<Self>, id: JobId) -> bool {
        let waits = self.change(|state| {
            let job = state
                .jobs
                .get_mut(&id)
                .filter(|job| matches!(job.view.status, JobStatus::Queued | JobStatus::Scheduled));
            let waits = job.is_some();
            if let Some(job) = job {
                job.view.status = JobStatus::Running;
                state.under_way += 1;
            }
            waits
        });
        if waits {
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                shared.run(id).await;
                shared.change(|state| state.under_way -= 1);
            });
        }
        waits
    }

    async fn run(self: &Arc<Self>, id: JobId) {
        loop {
            let Some(call) = self.attempt(id) else { return };
            let (trace, attempt) = (call.trace_id, call.attempt);
            let told = json!({"connector": call.connector, "operation": call.operation, "attempt": attempt});
            self.emit(EventType::JobStarted, &id.to_string(), trace, told.clone());
            let Outcome { result, delay } = self.play(call);
            tokio::time::sleep(delay).await;
            let next = self.change(|state| {
                let job = state.jobs.get_mut(&id).filter(|job| job.view.status == JobStatus::Running)?;
                match result {
                    Ok(output) => {
                        job.view.output = Some(output);
                        job.view.error = None;
                        job.view.status = JobStatus::Succeeded;
                    }
                    Err(failure) => {
                        let again = failure.code.is_retryable() && attempt < job.view.max_attempts;
                        job.view.error = Some(failure.view());
                        job.view.status = if again { JobStatus::Retrying } else { JobStatus::Dead };
                    }
                }
                job.view.finished_at = job.view.status.is_terminal().then(now);
                Some(job.view.status)
            });
            let kind = match next {
                Some(JobStatus::Retrying) => EventType::JobRetrying,
                Some(JobStatus::Succeeded) => EventType::JobSucceeded,
                Some(_) => EventType::JobDead,
                // Cancelled meanwhile.
                None => return,
            };
            self.emit(kind, &id.to_string(), trace, told);
            if kind != EventType::JobRetrying {
                return self.tell(id).await;
            }
        }
    }

    /// Counts an attempt that begins.
    fn attempt(&self, id: JobId) -> Option<MockCall> {
        self.change(|state| {
            let job = state.jobs.get_mut(&id).filter(|job| !job.view.status.is_terminal())?;
            job.view.status = JobStatus::Running;
            job.view.attempt += 1;
            Some(MockCall {
                connector: job.request.connector.clone(),
                operation: job.request.operation.clone(),
                input: job.request.input.clone(),
                job: Some(id),
                attempt: job.view.attempt,
                idempotency_key: job.key.clone(),
                metadata: job.request.metadata.clone(),
                trace_id: job.view.trace_id,
            })
        })
    }

    /// Delivers the outcome to the job's callback, if it has one.
    async fn tell(&self, id: JobId) {
        let Some(view) = self.state().jobs.get(&id).map(|job| job.view.clone()) else { return };
        let Some(callback) = view.callback else { return };
        let kind = if view.status == JobStatus::Succeeded { CallbackType::JobSucceeded } else { CallbackType::JobDead };
        let data = JobCallbackData {
            connector: view.connector,
            operation: view.operation,
            attempts: view.attempt,
            output: view.output,
            error: view.error,
            metadata: view.metadata,
        };
        let delivery = self.deliver(&callback.name, kind, &id.to_string(), view.trace_id, json!(data)).await;
        self.change(|state| {
            if let Some(told) = state.jobs.get_mut(&id).and_then(|job| job.view.callback.as_mut()) {
                told.attempts = u32::try_from(delivery.attempts()).unwrap_or(u32::MAX);
                told.status = if delivery.is_delivered() { "delivered" } else { "dead" }.to_owned();
            }
        });
    }

    /// `GET /jobs/{id}`: at once if it has ended, else when it has or the time is over.
    pub(super) async fn job(&self, id: JobId, wait: Duration) -> Result<Answer, Refusal> {
        let mut changes = self.changes();
        let seen = || self.state().jobs.get(&id).map(|job| job.view.clone()).ok_or_else(Refusal::not_found);
        let ended = async {
            while !seen()?.status.is_terminal() && changes.changed().await.is_ok() {}
            Ok::<_, Refusal>(())
        };
        if let Ok(outcome) = tokio::time::timeout(wait, ended).await {
            outcome?;
        }
        Ok(Answer::ok(&seen()?))
    }

    /// `GET /jobs`.
    pub(super) fn jobs(
        &self,
        status: Option<JobStatus>,
        connector: Option<&str>,
        cursor: Option<JobId>,
        limit: usize,
    ) -> Answer {
        let state = self.state();
        let fits = |view: &JobView| {
            status.is_none_or(|status| view.status == status)
                && connector.is_none_or(|name| view.connector.as_ref().is_some_and(|of| of.as_str() == name))
                && cursor.is_none_or(|cursor| view.id < cursor)
        };
        // The newest first, as the server lists them.
        let mut found = state.jobs.values().rev().map(|job| &job.view).filter(|view| fits(view));
        let items: Vec<JobView> = found.by_ref().take(limit).cloned().collect();
        let more = found.next().is_some();
        let next_cursor = items.last().filter(|_| more).map(|last| last.id.to_string());
        Answer::ok(&Page { items, next_cursor })
    }

    /// `POST /jobs/{id}/cancel`.
    pub(super) fn cancel(&self, id: JobId) -> Result<Answer, Refusal> {
        let view = self.change(|state| {
            let job = state.jobs.get_mut(&id).ok_or_else(Refusal::not_found)?;
            if job.view.status.is_terminal() {
                return Err(Refusal::new(ErrorCode::JobFinished, "the job has ended"));
            }
            job.view.status = JobStatus::Cancelled;
            job.view.finished_at = Some(now());
            Ok(job.view.clone())
        })?;
        self.emit(EventType::JobCancelled, &id.to_string(), view.trace_id, json!({"operation": view.operation}));
        Ok(Answer::ok(&view))
    }
}
