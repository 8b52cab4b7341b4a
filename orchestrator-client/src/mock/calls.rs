//! Calls by script, and `/execute`.

use http::StatusCode;
use orchestrator_types::{
    AttemptOutcome, AttemptRecord, EventType, ExecuteRequest, ExecuteResponse, ExecutionId, ExecutionView, Name, Stage,
    TraceId,
};
use serde_json::json;
use tokio::time::Instant;

use super::answer::Answer;
use super::outcome::{Failure, Outcome};
use super::record::MockCall;
use super::refusal::Refusal;
use super::state::{Line, Shared, State, now};
use crate::code::ErrorCode;

impl State {
    /// Whether a call could be answered, or how it is refused before anything is sent.
    pub(super) fn scripted(&self, connector: &Name, operation: &str) -> Result<(), Refusal> {
        if self.scripts.contains_key(&(connector.to_string(), operation.to_owned())) {
            return Ok(());
        }
        let known = self.scripts.keys().any(|(known, _)| known == connector.as_str());
        let code = if known { ErrorCode::OperationNotFound } else { ErrorCode::ConnectorNotFound };
        Err(Refusal::new(code, format!("no script for it: `server.when(\"{connector}\", \"{operation}\")`")))
    }
}

impl Shared {
    /// Records a call and gives what its script says; the last line of a script is said again and again.
    pub(super) fn play(&self, call: MockCall) -> Outcome {
        let line = self.change(|state| {
            let script = state.scripts.get_mut(&(call.connector.to_string(), call.operation.clone()));
            let line =
                script.and_then(|lines| if lines.len() > 1 { lines.pop_front() } else { lines.front().cloned() });
            state.calls.push(call.clone());
            line
        });
        match line {
            Some(Line::Outcome(outcome)) => outcome,
            // Outside the lock: it is the test's own code, and may ask the server.
            Some(Line::With(answer)) => answer(&call),
            None => Outcome::failure(ErrorCode::ConnectorNotFound),
        }
    }

    /// `POST /execute`.
    pub(super) async fn execute(
        &self,
        request: ExecuteRequest,
        key: Option<String>,
        trace_id: TraceId,
    ) -> Result<Answer, Refusal> {
        self.state().scripted(&request.connector, &request.operation)?;
        let (begun, started_at) = (Instant::now(), now());
        let outcome = self.play(MockCall {
            connector: request.connector.clone(),
            operation: request.operation.clone(),
            input: request.input,
            job: None,
            attempt: 1,
            idempotency_key: key,
            metadata: Default::default(),
            trace_id,
        });
        let Outcome { result, delay } = bounded(outcome, request.timeout_ms);
        tokio::time::sleep(delay).await;
        let id = ExecutionId::new();
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let failure = result.as_ref().err();
        let status = if failure.is_none() { "succeeded" } else { "failed" };
        let attempts = u32::from(failure.is_none_or(Failure::began));
        let record = AttemptRecord {
            number: 1,
            start_ms: 0,
            wait_ms: 0,
            wait_reason: None,
            outcome: failure.map_or(AttemptOutcome::Succeeded, how),
            status: failure.and_then(|failure| failure.upstream.as_ref()).map(|upstream| upstream.status),
            duration_ms,
        };
        let stage = (attempts > 0).then(|| Stage {
            stage: "attempt".to_owned(),
            attempt: Some(1),
            start_ms: 0,
            duration_ms,
            outcome: status.to_owned(),
            status: record.status,
            detail: None,
        });
        let view = ExecutionView {
            id,
            workspace: self.workspace.clone(),
            status: status.to_owned(),
            connector: request.connector.clone(),
            operation: request.operation.clone(),
            error: failure.map(Failure::view),
            attempts,
            duration_ms,
            started_at,
            config_version: 1,
            trace_id,
            attempts_log: (attempts > 0).then_some(record).into_iter().collect(),
            decisions: Vec::new(),
            waterfall: stage.into_iter().collect(),
        };
        self.change(|state| state.executions.insert(id.to_string(), view));
        let kind = if failure.is_none() { EventType::ExecutionSucceeded } else { EventType::ExecutionFailed };
        let data = json!({"connector": request.connector, "operation": request.operation, "attempts": attempts});
        self.emit(kind, &id.to_string(), trace_id, data);
        match result {
            Ok(output) => Ok(Answer::json(
                StatusCode::OK,
                &ExecuteResponse {
                    id,
                    status: status.to_owned(),
                    output,
                    attempts,
                    duration_ms,
                    fallback: false,
                    trace_id,
                },
            )),
            Err(failure) => Err(Refusal::called(id, &failure)),
        }
    }
}

/// What takes longer than the caller gave it is a `timeout`.
fn bounded(outcome: Outcome, timeout_ms: Option<u64>) -> Outcome {
    let limit = timeout_ms.map(std::time::Duration::from_millis).filter(|limit| *limit < outcome.delay);
    limit.map_or(outcome, |limit| Outcome::failure(ErrorCode::Timeout).after(limit))
}

fn how(failure: &Failure) -> AttemptOutcome {
    match failure.code {
        ErrorCode::UpstreamRejected => AttemptOutcome::Rejected,
        ErrorCode::Timeout => AttemptOutcome::Timeout,
        ErrorCode::UpstreamUnreachable => AttemptOutcome::Unreachable,
        ErrorCode::BreakerOpen => AttemptOutcome::BreakerOpen,
        _ => AttemptOutcome::Failed,
    }
}
