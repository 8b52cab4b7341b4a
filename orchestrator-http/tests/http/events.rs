//! The event stream.

use serde_json::{Value, json};

use crate::install::{self, Install, WORKSPACE};
use crate::kit::Raw;

async fn stream(install: &Install, token: &str, headers: &str) -> Raw {
    let mut raw = Raw::connect(install.api).await;
    let accept = "Accept: text/event-stream\r\nConnection: close\r\n";
    raw.send(format!("GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{accept}{headers}\r\n"))
        .await;
    raw
}

async fn job(install: &Install, token: &str) -> String {
    let call = json!({"connector": "fake", "operation": "echo", "input": {}});
    let id = install.send("POST", "/jobs", token, Some(call)).await.json()["id"].clone();
    let id = id.as_str().unwrap().to_owned();
    assert_eq!(install.get(&format!("/jobs/{id}?wait_ms=30000"), token).await.json()["status"], "succeeded");
    id
}

#[tokio::test]
async fn inv_09_events_are_paged_in_one_order_and_none_is_skipped() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let id = job(&install, &token).await;
    let whole = install.get("/events?limit=500", &token).await.json();
    let whole: Vec<Value> = whole["items"].as_array().unwrap().clone();
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = install.get(&format!("/events?limit=1{after}"), &token).await.json();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        after = format!("&after={cursor}");
        paged.extend(page["items"].as_array().unwrap().clone());
    }
    assert_eq!(paged, whole);
    let mine = install.get(&format!("/events?subject={id}&type=job.queued,job.succeeded"), &token).await.json();
    let kinds: Vec<_> = mine["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, [json!("job.queued"), json!("job.succeeded")]);
    for query in ["type=none", "after=x", "wait_ms=30001", "after=job_00000000000000000000000000", "x=1"] {
        assert_eq!(install.get(&format!("/events?{query}"), &token).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_event() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let last = install.get("/events?limit=500", &token).await.json()["next_cursor"].clone();
    let path = format!("/events?after={}&type=job.queued&wait_ms=30000", last.as_str().unwrap());
    let (waited, id) = tokio::join!(install.get(&path, &token), job(&install, &token));
    assert_eq!(waited.json()["items"][0]["subject"], id);
}

#[tokio::test]
async fn inv_09_a_stream_resumes_after_the_last_event_it_showed() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    job(&install, &token).await;
    let mut raw = stream(&install, &token, "").await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.contains("content-type: text/event-stream") && head.contains("x-accel-buffering: no"), "{head}");
    let shown = raw.until("event: job.started").await;
    let id = shown.rsplit("id: ").next().unwrap().lines().next().unwrap().to_owned();
    drop(raw);

    let mut raw = stream(&install, &token, &format!("Last-Event-ID: {id}\r\n")).await;
    let rest = raw.until("event: job.succeeded").await;
    assert!(!rest.contains("event: job.started") && !rest.contains("event: job.queued"), "{rest}");
    // What is to come is shown as it comes.
    job(&install, &token).await;
    raw.until("event: job.succeeded").await;
    let crooked = stream(&install, &token, "Last-Event-ID: x\r\n").await.answer().await.unwrap();
    assert_eq!(crooked.status, 400);
}

#[tokio::test]
async fn a_stream_ends_when_the_engine_drains() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let mut raw = stream(&install, &token, "").await;
    raw.until("event: workspace.created").await;
    install.engine.draining().cancel();
    raw.end().await;
}

#[tokio::test]
async fn inv_37_a_workspace_cannot_hold_more_streams_than_its_share() {
    let limits = orchestrator_http::ApiLimits { waiting_per_workspace: 1, ..Default::default() };
    let install = install::start_with(limits).await;
    install.onboard(WORKSPACE).await;
    let token = install.service(WORKSPACE);
    let mut raw = stream(&install, &token, "").await;
    raw.until("event: workspace.created").await;
    let refused = install.get("/events", &token).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
}
