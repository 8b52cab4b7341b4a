//! Webhooks: in once, verified, deduplicated, durable, and to the right product.

use std::time::Duration;

use anyhow::{Context, ensure};
use orchestrator_client::{WebhookAnswer, WebhookOutcome};
use orchestrator_types::{EventView, InboxId, InboxStatus, Name, WebhookAccepted};

use super::super::fixture::{invoice_paid, sign};
use super::super::report::{Evidence, Report};
use super::super::stage::Stage;
use super::{Guest, until};

pub(super) async fn chapter(stage: &Stage, report: &mut Report, buildos: &Guest<'_>, beauty: &Guest<'_>) {
    report.chapter("4  Webhooks: verified, deduplicated, durable, to the right product");
    for guest in [buildos, beauty] {
        let title = format!("{}: webhook → inbox → job → callback", guest.workspace());
        report.step(&title, arrives(stage, guest)).await;
    }
    report.step("the same event again is a duplicate: nothing is enqueued", again(stage, buildos)).await;
    report.step("a forged one is refused", forged(stage, buildos)).await;
    report.step("beauty-dev's secret makes no event of buildos-dev's account", misrouted(stage, buildos, beauty)).await;
    report
        .step("a product that refuses: dead letter, replayed with a reason, same webhook-id", dies(stage, buildos))
        .await;
    report.step("no callback: the event waits to be polled", polled(stage, buildos)).await;
    report.step("one trace, end to end", traced(stage, beauty)).await;
}

async fn send(stage: &Stage, key: Option<&Name>, body: &bytes::Bytes, secret: &str) -> anyhow::Result<WebhookAnswer> {
    let headers = sign(body, secret)?;
    Ok(stage.stranger()?.send_webhook(&"stripe".parse()?, key, headers, body.clone()).await?)
}

fn accepted(answer: WebhookAnswer) -> anyhow::Result<WebhookAccepted> {
    match answer.outcome {
        WebhookOutcome::Accepted(accepted) => Ok(accepted),
        other => anyhow::bail!("the ingress answered {}: {other:?}", answer.status),
    }
}

async fn arrives(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let (event, body) = invoice_paid(Some(&guest.tenant.account))?;
    let taken = accepted(send(stage, None, &body, &guest.tenant.stripe_secret).await?)?;
    ensure!(!taken.duplicate, "it is said to be a duplicate");
    let (webhook_id, received) = guest.tenant.product.receives(&taken.id.to_string()).await?;
    ensure!(received.kind == "webhook.received", "{received:?}");
    ensure!(received.data["event_id"] == event.as_str(), "{received:?}");
    let workspace = stage.admin()?.workspace(guest.workspace());
    let entry = until(Duration::from_secs(5), || async {
        let entry = workspace.inbox_entry(taken.id).await?;
        ensure!(entry.status == InboxStatus::Delivered, "the inbox says {:?}", entry.status);
        Ok(entry)
    })
    .await?;
    let signature = entry.headers.and_then(|headers| headers.get("stripe-signature").cloned());
    Ok(vec![
        format!("{event} of {} is {}, durable before the 200", guest.tenant.account, taken.id),
        format!("the product verified {webhook_id} and took it once; the inbox keeps the signature as {signature:?}"),
    ])
}

async fn again(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let (_, body) = invoice_paid(Some(&guest.tenant.account))?;
    let first = accepted(send(stage, None, &body, &guest.tenant.stripe_secret).await?)?;
    guest.tenant.product.receives(&first.id.to_string()).await?;
    let before = guest.tenant.product.taken().len();
    for _ in 0..3 {
        let second = accepted(send(stage, None, &body, &guest.tenant.stripe_secret).await?)?;
        ensure!(second.duplicate && second.id == first.id, "{second:?} is not a duplicate of {}", first.id);
    }
    let taken = guest.tenant.product.taken();
    ensure!(taken.len() == before && taken.iter().all(|(_, received)| received.times == 1), "it was delivered again");
    Ok(vec![format!("three more deliveries: 200, duplicate, {} each time; the product heard of it once", first.id)])
}

async fn forged(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let (_, body) = invoice_paid(Some(&guest.tenant.account))?;
    let answer = send(stage, None, &body, "whsec_somebody_elses").await?;
    refused(&answer, 401, "signature_invalid")?;
    let (_, nobody) = invoice_paid(Some("acct_of_nobody"))?;
    let unknown = send(stage, None, &nobody, &guest.tenant.stripe_secret).await?;
    refused(&unknown, 404, "route_not_found")?;
    Ok(vec!["another secret: 401 signature_invalid; an account that nobody has: 404 route_not_found".to_owned()])
}

async fn misrouted(stage: &Stage, buildos: &Guest<'_>, beauty: &Guest<'_>) -> anyhow::Result<Evidence> {
    let inboxes = (inbox(stage, buildos).await?, inbox(stage, beauty).await?);
    let (_, body) = invoice_paid(Some(&buildos.tenant.account))?;
    let answer = send(stage, None, &body, &beauty.tenant.stripe_secret).await?;
    refused(&answer, 401, "signature_invalid")?;
    let after = (inbox(stage, buildos).await?, inbox(stage, beauty).await?);
    ensure!(inboxes == after, "an inbox grew: {inboxes:?} became {after:?}");
    Ok(vec!["401 signature_invalid; neither inbox has anything of it".to_owned()])
}

fn refused(answer: &WebhookAnswer, status: u16, code: &str) -> anyhow::Result<()> {
    match &answer.outcome {
        WebhookOutcome::Refused(problem) if answer.status.as_u16() == status && problem.code == code => Ok(()),
        other => anyhow::bail!("{status} {code} was expected: {} {other:?}", answer.status),
    }
}

async fn inbox(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Vec<InboxId>> {
    let page = stage.admin()?.workspace(guest.workspace()).inbox().limit(500).page().await?;
    Ok(page.items.into_iter().map(|entry| entry.id).collect())
}

async fn dies(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    guest.tenant.product.refuse(true);
    let (_, body) = invoice_paid(Some(&guest.tenant.account))?;
    let taken = accepted(send(stage, None, &body, &guest.tenant.stripe_secret).await?)?;
    let workspace = stage.admin()?.workspace(guest.workspace());
    let dead = until(Duration::from_secs(10), || async {
        let letters = workspace.dlq().page().await?;
        letters
            .items
            .into_iter()
            .find(|letter| letter.subject == Some(taken.id.to_string()))
            .context("no dead letter yet")
    })
    .await;
    guest.tenant.product.refuse(false);
    let dead = dead?;
    let request = orchestrator_types::DlqRequest {
        ids: Some(vec![dead.id]),
        filter: None,
        reason: "the product is mended".to_owned(),
    };
    let replayed = workspace.replay_dlq(&request).await?;
    ensure!(replayed.count == 1, "{replayed:?}");
    let (webhook_id, _) = guest.tenant.product.receives(&taken.id.to_string()).await?;
    ensure!(webhook_id == taken.id.to_string(), "the replay came as {webhook_id}");
    let without = orchestrator_types::DlqRequest { reason: String::new(), ..request };
    ensure!(workspace.replay_dlq(&without).await.is_err(), "a replay without a reason was taken");
    Ok(vec![
        format!("422 from the product: {} is dead at once ({})", dead.id, dead.reason),
        format!("replayed by an operator with a reason: delivered as {webhook_id}; without a reason it is refused"),
    ])
}

async fn polled(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let key = guest.tenant.polled_key.as_ref().context("the bundle has no route without a callback")?;
    let (event, body) = invoice_paid(None)?;
    let taken = accepted(send(stage, Some(key), &body, &guest.tenant.stripe_secret).await?)?;
    let found = events(guest).await?.into_iter().find(|found| found.subject == taken.id.to_string());
    let found = found.context("GET /events does not tell of it")?;
    ensure!(found.data["event_id"] == event.as_str(), "{found:?}");
    Ok(vec![format!("POST /webhooks/stripe/{key}: {}; GET /events tells of it as {}", taken.id, found.id)])
}

async fn traced(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let (_, body) = invoice_paid(Some(&guest.tenant.account))?;
    let answer = send(stage, None, &body, &guest.tenant.stripe_secret).await?;
    let trace = answer.trace_id;
    let taken = accepted(answer)?;
    guest.tenant.product.receives(&taken.id.to_string()).await?;
    let told = until(Duration::from_secs(5), || async {
        let found = events(guest).await?;
        let told: Vec<String> = found
            .into_iter()
            .filter(|event| Some(event.trace_id) == trace)
            .map(|event| event.kind.to_string())
            .collect();
        for wanted in ["webhook.received", "job.queued", "job.started", "job.succeeded", "callback.delivered"] {
            ensure!(told.iter().any(|kind| kind == wanted), "{wanted} is missing in {told:?}");
        }
        Ok(told)
    })
    .await?;
    Ok(vec![format!("trace {}: {}", trace.map(|trace| trace.to_string()).unwrap_or_default(), told.join(" → "))])
}

async fn events(guest: &Guest<'_>) -> anyhow::Result<Vec<EventView>> {
    let query = orchestrator_client::EventQuery { limit: Some(500), ..Default::default() };
    Ok(guest.client.events(&query).await?.items)
}
