//! Signed callbacks to the product's handler.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use orchestrator_types::{CallbackBody, CallbackType, EventType, Name, TraceId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::state::{Shared, now};
use crate::callback::CallbackSecret;

/// So often a delivery is tried.
const TRIES: usize = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// The product has so long to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where callbacks of a name go.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) secrets: Vec<CallbackSecret>,
}

/// A callback that was sent, and what the product answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delivery {
    /// The callback.
    pub callback: Name,
    /// `webhook-id`: the same on every try, and on every redelivery.
    pub id: String,
    /// The body, the same on every try.
    pub body: Bytes,
    /// The trace.
    pub trace_id: TraceId,
    /// What each try was answered; `None` where nobody answered.
    pub statuses: Vec<Option<u16>>,
}

impl Delivery {
    /// Whether the product took it (2xx).
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.statuses.last().copied().flatten().is_some_and(|status| (200..300).contains(&status))
    }

    /// How many tries were made.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.statuses.len()
    }

    fn is_over(&self) -> bool {
        let last = self.statuses.last().copied().flatten();
        self.is_delivered() || matches!(last, Some(400 | 410 | 413 | 422)) || self.statuses.len() >= TRIES
    }
}

impl Shared {
    /// Delivers what `kind` tells of `subject`, and records it.
    pub(super) async fn deliver(
        &self,
        callback: &Name,
        kind: CallbackType,
        subject: &str,
        trace_id: TraceId,
        data: Value,
    ) -> Delivery {
        let body = CallbackBody {
            kind,
            id: subject.to_owned(),
            workspace: self.workspace.clone(),
            time: now(),
            replay_of: None,
            data,
        };
        let delivery = Delivery {
            callback: callback.clone(),
            id: format!("msg_{}", Uuid::new_v4().simple()),
            body: Bytes::from(serde_json::to_vec(&body).unwrap_or_default()),
            trace_id,
            statuses: Vec::new(),
        };
        self.send(delivery).await
    }

    /// Sends a delivery until it is taken or given up, and records it.
    pub(super) async fn send(&self, mut delivery: Delivery) -> Delivery {
        let target = self.state().callbacks.get(&delivery.callback).cloned();
        while let Some(target) = &target {
            delivery.statuses.push(self.post(target, &delivery).await);
            if delivery.is_over() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let kind = if delivery.is_delivered() { EventType::CallbackDelivered } else { EventType::CallbackFailed };
        let data = json!({"callback": delivery.callback, "attempts": delivery.attempts()});
        self.emit(kind, &delivery.id, delivery.trace_id, data);
        self.change(|state| state.deliveries.push(delivery.clone()));
        delivery
    }

    async fn post(&self, target: &Target, delivery: &Delivery) -> Option<u16> {
        let timestamp = now().unix_seconds().to_string();
        let content = [delivery.id.as_bytes(), b".", timestamp.as_bytes(), b".", &delivery.body].concat();
        let signatures: Vec<_> = target
            .secrets
            .iter()
            .map(|secret| format!("v1,{}", BASE64.encode(secret.sign(&content).as_ref())))
            .collect();
        let request = self
            .http
            .post(&target.url)
            .timeout(PATIENCE)
            .header("content-type", "application/json")
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .header("traceparent", delivery.trace_id.traceparent())
            .body(delivery.body.clone());
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }
}
