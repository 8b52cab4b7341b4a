//! The walk: guide 5.8 and the acceptance criteria, in their order.

mod calls;
mod config;
mod isolation;
mod jobs;
mod onboarding;
mod webhooks;

use std::time::Duration;

use anyhow::Context;
use orchestrator_client::{Client, Error};
use orchestrator_types::{ExecuteRequest, ExecuteResponse, ExecutionView, Problem, WorkspaceId};
use serde_json::json;

use super::report::Report;
use super::stage::{Stage, Tenant};

/// A product that has been onboarded.
pub(super) struct Guest<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) client: Client,
}

impl Guest<'_> {
    pub(super) fn workspace(&self) -> &WorkspaceId {
        &self.tenant.workspace
    }
}

/// Walks all of it. What a later chapter needs of an earlier one and did not get ends the walk.
pub(super) async fn walk(stage: &Stage, report: &mut Report) {
    let Some((buildos, beauty)) = onboarding::chapter(stage, report).await else { return };
    calls::chapter(stage, report, &buildos, &beauty).await;
    isolation::chapter(stage, report, &buildos, &beauty).await;
    webhooks::chapter(stage, report, &buildos, &beauty).await;
    jobs::chapter(stage, report, &buildos).await;
    config::chapter(stage, report, &buildos).await;
    onboarding::acceptance(stage, report, &buildos, &beauty).await;
}

/// A call of the demo's upstream.
pub(super) fn call(connector: &str, method: &str) -> anyhow::Result<ExecuteRequest> {
    Ok(ExecuteRequest {
        connector: connector.parse()?,
        operation: "request".to_owned(),
        input: json!({"method": method, "path": "/v1/invoices"}),
        timeout_ms: None,
    })
}

/// The problem that an answer must be.
pub(super) fn problem(answer: Result<ExecuteResponse, Error>, code: &str) -> anyhow::Result<Problem> {
    match answer {
        Ok(answer) => anyhow::bail!("`{code}` was expected, and {} succeeded", answer.id),
        Err(Error::Problem(problem)) if problem.code == code => Ok(Problem::clone(&problem)),
        Err(error) => Err(anyhow::Error::from(error).context(format!("`{code}` was expected"))),
    }
}

/// The record of the execution that a problem names.
pub(super) async fn record(guest: &Guest<'_>, problem: &Problem) -> anyhow::Result<ExecutionView> {
    let id = problem.id.as_deref().context("the problem names no execution")?;
    Ok(guest.client.execution(id.parse()?).await?)
}

/// The attempts of an execution, in a line each.
pub(super) fn attempts(record: &ExecutionView) -> Vec<String> {
    let line = |attempt: &orchestrator_types::AttemptRecord| {
        let status = attempt.status.map(|status| format!(" {status}")).unwrap_or_default();
        let waited = match &attempt.wait_reason {
            Some(reason) => format!(" after {} ms ({reason})", attempt.wait_ms),
            None => String::new(),
        };
        let outcome = serde_json::to_value(attempt.outcome).unwrap_or_default();
        let outcome = outcome.as_str().unwrap_or_default().to_owned();
        format!("attempt {}{waited}: {outcome}{status} in {} ms", attempt.number, attempt.duration_ms)
    };
    let decisions = record.decisions.iter().filter(|decision| decision.decision != "admitted").map(|decision| {
        let detail = decision.detail.as_deref().unwrap_or_default();
        format!("{} {}: {detail}", decision.policy, decision.decision)
    });
    record.attempts_log.iter().map(line).chain(decisions).collect()
}

/// Asks again until it holds, for at most `longest`.
pub(super) async fn until<F, Fut, T>(longest: Duration, mut ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<T>>,
{
    let deadline = tokio::time::Instant::now() + longest;
    loop {
        match ask().await {
            Ok(found) => return Ok(found),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
}
