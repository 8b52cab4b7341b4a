//! One workspace's open breaker and spent limits are nobody else's, nor are its things.

use anyhow::{Context, ensure};
use orchestrator_types::Policy;
use serde_json::json;

use super::super::report::{Evidence, Report};
use super::super::stage::Stage;
use super::super::upstream::Mood;
use super::calls::CONNECTOR;
use super::{Guest, call, problem};

pub(super) async fn chapter(stage: &Stage, report: &mut Report, buildos: &Guest<'_>, beauty: &Guest<'_>) {
    report.chapter("3  Isolation: two products on one upstream");
    report.step("buildos-dev's breaker is open, beauty-dev's calls go through", breaker(stage, buildos, beauty)).await;
    report.step("buildos-dev's rate limit is spent, beauty-dev's is not", limit(stage, buildos, beauty)).await;
    report.step("beauty-dev cannot see that buildos-dev's executions exist", foreign(buildos, beauty)).await;
}

async fn breaker(stage: &Stage, buildos: &Guest<'_>, beauty: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Down);
    for _ in 0..60 {
        let answer = buildos.client.execute(&call(CONNECTOR, "GET")?).await;
        if problem(answer, "breaker_open").is_ok() {
            break;
        }
    }
    stage.upstream.be(Mood::Fine);
    let theirs = problem(buildos.client.execute(&call(CONNECTOR, "GET")?).await, "breaker_open")?;
    let ours = beauty.client.execute(&call(CONNECTOR, "GET")?).await?;
    ensure!(ours.attempts == 1, "{ours:?}");
    Ok(vec![format!("buildos-dev: 503 {}; beauty-dev, same upstream, same connector name: {}", theirs.code, ours.id)])
}

async fn limit(stage: &Stage, buildos: &Guest<'_>, beauty: &Guest<'_>) -> anyhow::Result<Evidence> {
    let policy: Policy = serde_json::from_value(json!({"rate_limit": {"per_second": 1, "burst": 3}}))?;
    let config = &buildos.tenant.bundle.config;
    let mut connector = config.connectors.values().next().context("the bundle has no connector")?.clone();
    connector.policy = "narrow".parse()?;
    for guest in [buildos, beauty] {
        let workspace = stage.admin()?.workspace(guest.workspace());
        workspace.put(&"narrow".parse()?, &policy).await?;
        let mut own = connector.clone();
        own.secrets.clone_from(&guest.tenant.bundle.config.connectors.values().next().context("no connector")?.secrets);
        workspace.put(&"narrow-api".parse()?, &own).await?;
    }
    for _ in 0..3 {
        buildos.client.execute(&call("narrow-api", "GET")?).await?;
    }
    let refused = problem(buildos.client.execute(&call("narrow-api", "GET")?).await, "rate_limited")?;
    let ours = beauty.client.execute(&call("narrow-api", "GET")?).await?;
    Ok(vec![format!("buildos-dev: 429 {} at its fourth call; beauty-dev: {}", refused.code, ours.id)])
}

async fn foreign(buildos: &Guest<'_>, beauty: &Guest<'_>) -> anyhow::Result<Evidence> {
    let theirs = buildos
        .client
        .execute(&call(buildos.tenant.bundle.config.connectors.keys().next().context("no connector")?.as_str(), "GET")?)
        .await?;
    let seen = match beauty.client.execution(theirs.id).await {
        Err(error) => error.problem().map(|problem| (problem.status, problem.detail.clone())),
        Ok(_) => anyhow::bail!("beauty-dev reads {}", theirs.id),
    };
    let absent = match beauty.client.execution(orchestrator_types::ExecutionId::new()).await {
        Err(error) => error.problem().map(|problem| (problem.status, problem.detail.clone())),
        Ok(_) => anyhow::bail!("an execution that does not exist is read"),
    };
    ensure!(seen == absent && seen.as_ref().is_some_and(|(status, _)| *status == 404), "{seen:?} is not {absent:?}");
    Ok(vec![format!("{} is 404 for beauty-dev, word for word as one that does not exist", theirs.id)])
}
