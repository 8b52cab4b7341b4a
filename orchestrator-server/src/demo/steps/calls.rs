//! `/execute`: the happy path; a timeout; retries to success; the breaker opening and recovering.

use anyhow::{Context, ensure};
use orchestrator_types::{AttemptOutcome, ConnectorConfig, Policy};
use serde_json::json;

use super::super::report::{Evidence, Report};
use super::super::stage::Stage;
use super::super::upstream::Mood;
use super::{Guest, attempts, call, problem, record};

/// The connector of this chapter: the bundle's, under a policy with short times.
pub(super) const CONNECTOR: &str = "fragile-api";

pub(super) async fn chapter(stage: &Stage, report: &mut Report, buildos: &Guest<'_>, beauty: &Guest<'_>) {
    report.chapter("2  Calls: the product writes no retry, breaker or limit");
    for guest in [buildos, beauty] {
        let title = format!("{}: a call goes through", guest.workspace());
        report.step(&title, happy(stage, guest)).await;
        let title = format!("{}: a connector with short times, by two config changes", guest.workspace());
        report.step(&title, fragile(stage, guest)).await;
    }
    report
        .step("an upstream that hangs: the attempt times out, the call ends by its deadline", hangs(stage, buildos))
        .await;
    report.step("an upstream that fails twice: retried until it succeeds", fails_twice(stage, buildos)).await;
    report.step("a refusal is final: it is not retried", refuses(stage, buildos)).await;
    report.step("an upstream that is down: the breaker opens, and spares it", opens(stage, buildos)).await;
}

async fn happy(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Fine);
    let connector = guest.tenant.bundle.config.connectors.keys().next().context("the bundle has no connector")?;
    let answer = guest.client.execute(&call(connector.as_str(), "GET")?).await?;
    ensure!(answer.status == "succeeded" && answer.attempts == 1, "{answer:?}");
    let seen = answer.output.pointer("/body/traceparent").and_then(|header| header.as_str()).unwrap_or_default();
    ensure!(seen.contains(&answer.trace_id.to_string()), "the upstream saw the traceparent `{seen}`");
    Ok(vec![format!("{} in {} ms; the upstream saw trace {}", answer.id, answer.duration_ms, answer.trace_id)])
}

/// Adds a policy with short times and a connector under it.
async fn fragile(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let config = &guest.tenant.bundle.config;
    let mut connector: ConnectorConfig =
        config.connectors.values().next().context("the bundle has no connector")?.clone();
    let policy: Policy = serde_json::from_value(json!({
        "timeout": {"attempt_ms": 150, "total_ms": 1_000},
        "retry": {"max_attempts": 3, "initial_ms": 20, "max_ms": 100, "budget_ratio": 0.5},
        "breaker": {"window_s": 10, "min_calls": 12, "failure_ratio": 0.5, "open_s": 1, "half_open_calls": 1},
        "rate_limit": {"per_second": 200, "burst": 200},
        "concurrency": {"max": 8, "queue": 8},
    }))?;
    let workspace = stage.admin()?.workspace(guest.workspace());
    let before = workspace.put(&"fragile".parse()?, &policy).await?.body.version;
    connector.policy = "fragile".parse()?;
    let after = workspace.put(&CONNECTOR.parse()?, &connector).await?.body.version;
    Ok(vec![format!("policy `fragile` is version {before}, connector `{CONNECTOR}` version {after}; live at once")])
}

async fn hangs(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Hangs);
    let answer = guest.client.execute(&call(CONNECTOR, "GET")?).await;
    stage.upstream.be(Mood::Fine);
    let problem = problem(answer, "timeout")?;
    let record = record(guest, &problem).await?;
    ensure!(!record.attempts_log.is_empty(), "no attempt was recorded");
    ensure!(record.attempts_log.iter().all(|attempt| attempt.outcome == AttemptOutcome::Timeout), "{record:?}");
    let mut evidence = vec![format!("504 timeout; GET /executions/{} says:", record.id)];
    evidence.extend(attempts(&record));
    Ok(evidence)
}

async fn fails_twice(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Fails(2));
    let answer = guest.client.execute(&call(CONNECTOR, "GET")?).await?;
    ensure!(answer.attempts == 3, "it took {} attempts", answer.attempts);
    let record = guest.client.execution(answer.id).await?;
    let mut evidence = vec![format!("{} succeeded at attempt 3:", answer.id)];
    evidence.extend(attempts(&record));
    Ok(evidence)
}

async fn refuses(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Refuses);
    let answer = guest.client.execute(&call(CONNECTOR, "GET")?).await;
    stage.upstream.be(Mood::Fine);
    let problem = problem(answer, "upstream_rejected")?;
    ensure!(problem.attempts == Some(1), "{problem:?}");
    Ok(vec![format!("502 upstream_rejected after one attempt: {:?}", problem.upstream.map(|upstream| upstream.status))])
}

async fn opens(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Down);
    let mut failed = 0;
    let opened = loop {
        let answer = guest.client.execute(&call(CONNECTOR, "GET")?).await;
        match answer.as_ref().err().and_then(|error| error.problem()).map(|problem| problem.code.as_str()) {
            Some("breaker_open") => break problem(answer, "breaker_open")?,
            Some("upstream_failed") if failed < 60 => failed += 1,
            other => anyhow::bail!("after {failed} failures: {other:?}"),
        }
    };
    let before = stage.upstream.calls();
    let Err(refused) = guest.client.execute(&call(CONNECTOR, "GET")?).await else {
        anyhow::bail!("a call went through an open breaker")
    };
    ensure!(stage.upstream.calls() == before, "the upstream was called although the breaker is open");
    let told = refused.retry_after().context("the refusal carries no Retry-After")?;
    let spared = problem(Err(refused), "breaker_open")?;
    stage.upstream.be(Mood::Fine);
    // A well-behaved caller comes back when it was told to.
    tokio::time::sleep(told).await;
    let answer = guest.client.execute(&call(CONNECTOR, "GET")?).await?;
    let record = record(guest, &spared).await?;
    let mut evidence = vec![format!(
        "503 {} after {failed} more failures; Retry-After {} s; no byte reaches the upstream",
        opened.code,
        told.as_secs()
    )];
    evidence.extend(attempts(&record));
    evidence.push(format!("once it had recovered a probe closed the breaker: {}", answer.id));
    Ok(evidence)
}
