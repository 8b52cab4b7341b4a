//! `/jobs`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use orchestrator_core::jobs::{JobCall, Submitted};
use orchestrator_types::{
    JobAccepted, JobBatchAccepted, JobBatchRequest, JobId, JobRequest, JobStatus, JobView, Name, Page,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::answers;
use super::execute::{idempotency, timeout};
use super::pages::Wait;
use crate::api::Api;
use crate::auth::ExecCaller;
use crate::extract::{Body, IdempotencyHeader, Limit, Named, Params};
use crate::problem::Refusal;

/// Queue a job
///
/// Accepts a call to be made later; when this answers the job is durable.
#[utoipa::path(
    post, path = "/jobs", tag = "jobs", operation_id = "submit_job", request_body = JobRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key and body within 24 h get the first answer again")),
    responses((status = 202, description = "It is durable", body = JobAccepted))
)]
pub(super) async fn submit(
    State(api): State<Api>,
    caller: ExecCaller,
    IdempotencyHeader(key): IdempotencyHeader,
    Body(request): Body<JobRequest>,
) -> Result<Response, Refusal> {
    let idempotency = idempotency("jobs", key, &request)?;
    let calls = vec![job_call(request, "")?];
    let jobs = api.engine().jobs();
    let Submitted { jobs, replayed } =
        jobs.submit(&caller.workspace, calls, idempotency, caller.trace_id, None).await?;
    let job = jobs.into_iter().next().ok_or_else(Refusal::internal)?;
    Ok(accepted(Json(job), replayed))
}

/// Queue a batch of jobs
///
/// Up to 1,000 jobs, all or none.
#[utoipa::path(
    post, path = "/jobs/batch", tag = "jobs", operation_id = "submit_jobs", request_body = JobBatchRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key and body within 24 h get the first answer again")),
    responses((status = 202, description = "All of them are durable", body = JobBatchAccepted))
)]
pub(super) async fn submit_batch(
    State(api): State<Api>,
    caller: ExecCaller,
    IdempotencyHeader(key): IdempotencyHeader,
    Body(request): Body<JobBatchRequest>,
) -> Result<Response, Refusal> {
    let idempotency = idempotency("jobs/batch", key, &request)?;
    let calls = request.jobs.into_iter().enumerate();
    let calls: Result<Vec<_>, _> = calls.map(|(index, job)| job_call(job, &format!("/jobs/{index}"))).collect();
    let jobs = api.engine().jobs();
    let Submitted { jobs, replayed } =
        jobs.submit(&caller.workspace, calls?, idempotency, caller.trace_id, Some("/jobs")).await?;
    let trace_id = jobs.first().map_or(caller.trace_id, |job| job.trace_id);
    Ok(accepted(Json(JobBatchAccepted { jobs, trace_id }), replayed))
}

fn accepted(answer: impl IntoResponse, replayed: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, answer).into_response();
    if replayed {
        answers::replayed(response.headers_mut());
    }
    response
}

fn job_call(request: JobRequest, at: &str) -> Result<JobCall, Refusal> {
    Ok(JobCall {
        connector: request.connector,
        operation: request.operation,
        input: request.input,
        timeout: timeout(request.timeout_ms, &format!("{at}/timeout_ms"))?,
        run_at: request.run_at,
        delay: request.delay_ms.map(Duration::from_millis),
        priority: request.priority,
        callback: request.callback,
        ordering_key: request.ordering_key,
        max_attempts: request.max_attempts,
        metadata: request.metadata,
    })
}

/// How to look at a job.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct JobQuery {
    /// How long to wait for the job to end, in milliseconds.
    #[param(value_type = Option<u32>, maximum = 30000)]
    wait_ms: Wait,
}

/// Look at a job
///
/// With `wait_ms` the answer waits until the job has ended, or that time is over.
#[utoipa::path(
    get, path = "/jobs/{id}", tag = "jobs", operation_id = "get_job", params(JobQuery),
    responses((status = 200, description = "The job", body = JobView))
)]
pub(super) async fn job(
    State(api): State<Api>,
    caller: ExecCaller,
    Named(id): Named<JobId>,
    Params(query): Params<JobQuery>,
) -> Result<Json<JobView>, Refusal> {
    let Wait(wait) = query.wait_ms;
    let _waiter = if wait.is_zero() { None } else { Some(api.waiting().enter(&caller.workspace)?) };
    Ok(Json(api.engine().jobs().get(&caller.workspace, id, wait).await?))
}

/// Which jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsQuery {
    /// That stand so.
    status: Option<JobStatus>,
    /// Of this connector.
    connector: Option<Name>,
    /// How many items: 1 to 500.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List jobs
///
/// The newest first.
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", operation_id = "list_jobs", params(JobsQuery),
    responses((status = 200, description = "A page", body = Page<JobView>))
)]
pub(super) async fn jobs(
    State(api): State<Api>,
    caller: ExecCaller,
    Params(query): Params<JobsQuery>,
) -> Result<Json<Page<JobView>>, Refusal> {
    let JobsQuery { status, connector, limit, cursor } = query;
    let jobs = api.engine().jobs();
    Ok(Json(jobs.list(&caller.workspace, status, connector, cursor.as_deref(), limit.get()).await?))
}

/// Cancel a job
///
/// A call that has begun is finished, and its outcome is dropped.
#[utoipa::path(
    post, path = "/jobs/{id}/cancel", tag = "jobs", operation_id = "cancel_job",
    responses((status = 200, description = "The job as it is now", body = JobView))
)]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: ExecCaller,
    Named(id): Named<JobId>,
) -> Result<Json<JobView>, Refusal> {
    Ok(Json(api.engine().jobs().cancel(&caller.workspace, id, caller.trace_id).await?))
}
