//! Writes the ends of attempts: all that wait in one transaction, each on its own fence.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orchestrator_types::{ErrorView, EventType};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dispatch::Worker;
use crate::store::{NewEvent, Outcome, PayloadLinks, Settled, Settlement};

const BATCH: usize = 256;

/// Settles until the last sender is gone.
pub(super) async fn settle(worker: &Worker, mut receiver: mpsc::Receiver<Settlement>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        write(worker, std::mem::take(&mut batch)).await;
    }
}

async fn write(worker: &Worker, batch: Vec<Settlement>) {
    let started = Instant::now();
    let mut pause = Duration::from_millis(20);
    let settled = loop {
        match worker.engine.store.settle(batch.clone()).await {
            Ok(settled) => break settled,
            // Past the lease another node has them: what is not written by then is stale.
            Err(error) if started.elapsed() > worker.options.lease => {
                tracing::warn!(%error, count = batch.len(), "settlements were given up: their leases end by themselves");
                batch.iter().for_each(|settlement| worker.leases.release(&settlement.lease));
                return;
            }
            Err(error) => {
                tracing::warn!(%error, count = batch.len(), "settlements are not written yet");
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    };
    for (settlement, settled) in batch.into_iter().zip(settled) {
        let lease = settlement.lease.clone();
        match settled {
            Settled::Applied => {}
            Settled::Stale => {
                worker.engine.worker.0.stale.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(workspace = %lease.workspace, job = %lease.job, "a settlement came too late and changed nothing");
            }
            Settled::Refused(reason) => {
                tracing::warn!(workspace = %lease.workspace, job = %lease.job, %reason, "the store refuses a settlement");
                refused(worker, settlement).await;
            }
        }
        worker.leases.release(&lease);
    }
}

/// An outcome that cannot be stored is an outcome all the same: the job dies of it, with nothing of what was refused.
async fn refused(worker: &Worker, settlement: Settlement) {
    let detail = "the outcome cannot be stored: it is too large or malformed".to_owned();
    let error = ErrorView { code: "outcome_refused".to_owned(), detail, upstream: None };
    let trace_id = settlement.events.first().map(|event| event.trace_id);
    let event = trace_id
        .map(|trace| NewEvent::new(EventType::JobDead, settlement.lease.job, trace, json!({"code": error.code})));
    let dead = Settlement {
        lease: settlement.lease,
        outcome: Outcome::Dead { reason: "outcome_refused".to_owned(), error },
        events: event.into_iter().collect(),
        request: None,
        delivery: None,
        payloads: PayloadLinks::default(),
    };
    if let Err(error) = worker.engine.store.settle(vec![dead]).await {
        tracing::warn!(%error, "a refused outcome could not be settled: its lease ends by itself");
    }
}
