//! `POST /execute`, `GET /executions/{id}`.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use orchestrator_core::execute::Call;
use orchestrator_types::{ExecuteRequest, ExecuteResponse, ExecutionId, ExecutionView, IdempotencyKey};
use serde::Serialize;

use super::answers;
use crate::api::Api;
use crate::auth::ExecCaller;
use crate::extract::{Body, IdempotencyHeader, Named};
use crate::problem::Refusal;

/// Make a call
///
/// Calls an operation of a connector under the workspace's policy, and waits for its outcome. A call that failed is a
/// problem document with the execution's `id`.
#[utoipa::path(
    post, path = "/execute", tag = "exec", operation_id = "execute", request_body = ExecuteRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key and body within 24 h get the first answer again")),
    responses((status = 200, description = "It succeeded", body = ExecuteResponse))
)]
pub(super) async fn execute(
    State(api): State<Api>,
    caller: ExecCaller,
    IdempotencyHeader(key): IdempotencyHeader,
    Body(request): Body<ExecuteRequest>,
) -> Result<Response, Refusal> {
    let idempotency = idempotency("execute", key, &request)?;
    let call = Call {
        connector: request.connector,
        operation: request.operation,
        input: request.input,
        timeout: timeout(request.timeout_ms, "/timeout_ms")?,
        idempotency,
        trace_id: caller.trace_id,
    };
    let executed = api.engine().execute(&caller.workspace, call).await?;
    let mut response = match executed.result {
        Ok(done) => Json(done).into_response(),
        Err(failure) => Refusal::from(failure).into_response(),
    };
    answers::rate_limit(response.headers_mut(), executed.rate_limit.as_ref());
    if executed.replayed {
        answers::replayed(response.headers_mut());
    }
    Ok(response)
}

/// Explain a call
///
/// The record of an execution: each attempt, the waits between them, and what each policy decided.
#[utoipa::path(
    get, path = "/executions/{id}", tag = "exec", operation_id = "get_execution",
    responses((status = 200, description = "The record", body = ExecutionView))
)]
pub(super) async fn execution(
    State(api): State<Api>,
    caller: ExecCaller,
    Named(id): Named<ExecutionId>,
) -> Result<Json<ExecutionView>, Refusal> {
    Ok(Json(api.engine().executions().get(&caller.workspace, id).await?))
}

/// A deadline of the caller's: at least a millisecond.
pub(super) fn timeout(millis: Option<u64>, pointer: &str) -> Result<Option<Duration>, Refusal> {
    match millis {
        Some(0) => Err(Refusal::invalid(pointer, "at least 1")),
        millis => Ok(millis.map(Duration::from_millis)),
    }
}

/// The key, with what it stands for: the route and the request as it was understood.
pub(super) fn idempotency<T: Serialize>(
    route: &str,
    key: Option<IdempotencyKey>,
    request: &T,
) -> Result<Option<(IdempotencyKey, [u8; 32])>, Refusal> {
    let Some(key) = key else { return Ok(None) };
    let mut text = route.as_bytes().to_vec();
    text.push(b'\n');
    serde_json::to_writer(&mut text, request).map_err(|_| Refusal::internal())?;
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &text).as_ref());
    Ok(Some((key, hash)))
}
