//! `/healthz`, `/readyz`, `/metrics`: on a listener of their own.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::Api;
use crate::metrics::Reading;
use crate::problem::Refusal;

/// A probe that waits longer than this has its answer.
const PROBE: Duration = Duration::from_secs(2);
/// What is read for metrics may wait for a queue that does not answer, and must not be taken for a store that does not.
const READ: Duration = Duration::from_secs(5);

/// Whether the process is alive: it answers.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether it takes work: not while it drains, nor with its store away.
pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    if api.engine().draining().is_cancelled() {
        return Err(Refusal::unavailable("draining"));
    }
    match timeout(PROBE, api.engine().ready()).await {
        Ok(Ok(())) => Ok(Json(json!({"status": "ready"}))),
        Ok(Err(_)) | Err(_) => Err(Refusal::unavailable("the store does not answer")),
    }
}

/// The metrics of this process and, where the store answers, of the queue.
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Response {
    let readings = readings(&api).await;
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (kind, text) = api.metrics().exposition(accept, readings);
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn readings(api: &Api) -> Vec<Reading> {
    let read = |name, help, value: f64| Reading { name, help, labels: Vec::new(), value, counter: false };
    let Ok(Ok(health)) = timeout(READ, api.engine().health()).await else {
        return vec![read("store_up", "Whether the store answers", 0.0)];
    };
    // Counts far beyond 2^53 are not to be had.
    let count = |name, help, value: u64| read(name, help, value as f64);
    let grown = |name, help, value: u64| Reading { counter: true, ..count(name, help, value) };
    let queue = &health.queue;
    let references = |status: &str, value: u64| Reading {
        labels: vec![("status", status.to_owned())],
        ..count("secret_refs", "Secret references, by how they stood when this node last looked", value)
    };
    // Nothing is told of a queue beside the store where there is none.
    let beside = health.queue_away.then_some(0.0).or(health.hints.map(|_| 1.0));
    let beside = beside.map(|up| read("hint_queue_up", "Whether the queue of hints beside the store answers", up));
    let hints =
        health.hints.map(|hints| count("hint_queue_depth", "Hints that the queue beside the store holds", hints));
    let mut readings = vec![
        read("store_up", "Whether the store answers", 1.0),
        count("queue_ready", "Jobs that are ready to run", queue.ready),
        count("queue_waiting", "Jobs that wait for their time or turn", queue.waiting),
        count("queue_running", "Jobs under a lease", queue.running),
        count("queue_dead", "Dead letters", queue.dead),
        read(
            "queue_oldest_ready_seconds",
            "How long the oldest ready job has been ready",
            queue.oldest_ready.as_secs_f64(),
        ),
        read(
            "oldest_expired_lease_seconds",
            "How long the longest expired lease has been expired",
            queue.oldest_expired_lease.as_secs_f64(),
        ),
        count("worker_running", "Jobs that this node runs now", health.running),
        grown("worker_stale_settlements", "Settlements that came too late", health.stale_settlements),
        grown("worker_lost_leases", "Leases that this node found lost", health.lost_leases),
        grown("request_log_dropped", "Records of the request log that were dropped", health.dropped_records),
        read("policy_lanes", "Connectors and callbacks whose policies remember something", health.lanes as f64),
        references("ok", health.secrets.ok),
        references("missing", health.secrets.missing),
        references("unreachable", health.secrets.unreachable),
    ];
    readings.extend(beside.into_iter().chain(hints));
    readings
}
