//! Jobs: durable, retried by the worker, their outcome delivered or polled.

use std::time::Duration;

use anyhow::{Context, ensure};
use orchestrator_types::{JobRequest, JobStatus, JobView};
use serde_json::json;

use super::super::report::{Evidence, Report};
use super::super::stage::Stage;
use super::super::upstream::Mood;
use super::Guest;

const LONGEST: Duration = Duration::from_secs(30);

pub(super) async fn chapter(stage: &Stage, report: &mut Report, buildos: &Guest<'_>) {
    report.chapter("5  Jobs: durable, and told of by callback or by polling");
    report.step("a job's outcome is delivered to the product", delivered(stage, buildos)).await;
    report
        .step("an upstream that is down for a while: the job is retried until it succeeds", retried(stage, buildos))
        .await;
    report.step("fallback polling: no callback, GET /jobs/{id} waits for the end", polled(stage, buildos)).await;
}

fn request(guest: &Guest<'_>) -> anyhow::Result<JobRequest> {
    let connector = guest.tenant.bundle.config.connectors.keys().next().context("the bundle has no connector")?;
    Ok(serde_json::from_value(json!({
        "connector": connector, "operation": "request", "input": {"method": "GET", "path": "/v1/invoices"},
    }))?)
}

async fn ends(guest: &Guest<'_>, request: &JobRequest) -> anyhow::Result<JobView> {
    let accepted = guest.client.submit(request).await?;
    let job = guest.client.wait_for_job(accepted.id, LONGEST).await?;
    ensure!(job.status == JobStatus::Succeeded, "{} is {:?}: {:?}", job.id, job.status, job.error);
    Ok(job)
}

async fn delivered(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Fine);
    let mut request = request(guest)?;
    request.callback = guest.tenant.bundle.config.callbacks.keys().next().cloned();
    request.metadata.insert("invoice".to_owned(), "in_1".to_owned());
    let job = ends(guest, &request).await?;
    let (webhook_id, received) = guest.tenant.product.receives(&job.id.to_string()).await?;
    ensure!(received.kind == "job.succeeded" && received.data["metadata"]["invoice"] == "in_1", "{received:?}");
    Ok(vec![format!("{}: {} with its output and metadata, as webhook-id {webhook_id}", job.id, received.kind)])
}

async fn retried(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Fails(2));
    let job = ends(guest, &request(guest)?).await?;
    ensure!(job.attempt == 3, "it took {} attempts", job.attempt);
    Ok(vec![format!("{} succeeded at attempt {} of {}", job.id, job.attempt, job.max_attempts)])
}

async fn polled(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    stage.upstream.be(Mood::Fine);
    let job = ends(guest, &request(guest)?).await?;
    ensure!(job.callback.is_none() && job.output.is_some(), "{job:?}");
    Ok(vec![format!("{} has its output in GET /jobs/{}", job.id, job.id)])
}
