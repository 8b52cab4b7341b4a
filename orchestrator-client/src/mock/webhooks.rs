//! Webhooks in: as they are after their signature was verified, which is the real server's business.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use orchestrator_types::{CallbackType, EventType, InboxId, Name, TraceId, WebhookAccepted, WebhookCallbackData};
use serde_json::{Value, json};

use super::answer::Answer;
use super::deliveries::Delivery;
use super::refusal::Refusal;
use super::state::{Shared, now};
use crate::code::ErrorCode;

/// A provider's event.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The provider's id of it: what it is deduplicated by.
    pub event_id: String,
    /// The provider's type of it.
    pub event_type: Option<String>,
    /// The account that it names.
    pub account: Option<String>,
    /// The sender's JSON.
    pub payload: Value,
}

impl Webhook {
    /// What most providers send: `id`, `type` and, where there is one, `account` at the top of the payload. Without an `id`, it is
    /// known by its bytes.
    #[must_use]
    pub fn of(payload: Value) -> Self {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        let by_bytes = || HEXLOWER.encode(digest::digest(&digest::SHA256, payload.to_string().as_bytes()).as_ref());
        Self {
            event_id: text("id").unwrap_or_else(by_bytes),
            event_type: text("type"),
            account: text("account"),
            payload,
        }
    }
}

impl Shared {
    /// `POST /webhooks/{provider}`: durable, then delivered in the background.
    pub(super) fn take(
        self: &Arc<Self>,
        provider: &str,
        route: Option<&str>,
        body: Bytes,
        trace: TraceId,
    ) -> Result<Answer, Refusal> {
        let name: Name = provider.parse().map_err(|_| no_route())?;
        if !self.state().routes.contains_key(&name) {
            return Err(no_route());
        }
        let (webhook, raw) = match serde_json::from_slice(&body) {
            Ok(payload) => (Webhook::of(payload), None),
            Err(_) => (Webhook::of(Value::String(BASE64.encode(&body))), Some(body)),
        };
        let (accepted, data) = self.store(&name, route, webhook, raw, trace);
        if let Some(data) = data {
            let shared = Arc::clone(self);
            self.change(|state| state.under_way += 1);
            tokio::spawn(async move {
                shared.forward(&name, accepted.id, trace, data).await;
                shared.change(|state| state.under_way -= 1);
            });
        }
        Ok(Answer::ok(&accepted))
    }

    /// A webhook that came in and was verified; gives its delivery, if it is no duplicate and its provider has a route.
    pub(super) async fn receive(&self, provider: &Name, webhook: Webhook) -> Option<Delivery> {
        let trace = TraceId::new();
        let (accepted, data) = self.store(provider, None, webhook, None, trace);
        self.forward(provider, accepted.id, trace, data?).await
    }

    fn store(
        &self,
        provider: &Name,
        route: Option<&str>,
        webhook: Webhook,
        raw: Option<Bytes>,
        trace: TraceId,
    ) -> (WebhookAccepted, Option<Value>) {
        let key = (provider.to_string(), webhook.event_id.clone());
        let (id, duplicate) = self.change(|state| match state.inbox.get(&key) {
            Some(first) => (*first, true),
            None => {
                let id = InboxId::new();
                state.inbox.insert(key, id);
                (id, false)
            }
        });
        let accepted = WebhookAccepted { id, duplicate };
        let told = json!({"provider": provider, "event_id": webhook.event_id, "event_type": webhook.event_type});
        let kind = if duplicate { EventType::WebhookDuplicate } else { EventType::WebhookReceived };
        self.emit(kind, &id.to_string(), trace, told);
        let data = WebhookCallbackData {
            provider: provider.clone(),
            route: route.and_then(|route| route.parse().ok()).unwrap_or_else(|| provider.clone()),
            account: webhook.account,
            event_id: webhook.event_id,
            event_type: webhook.event_type,
            payload: raw.is_none().then_some(webhook.payload),
            payload_base64: raw.map(|raw| BASE64.encode(&raw)),
            payload_ref: None,
            received_at: now(),
        };
        (accepted, (!duplicate).then(|| json!(data)))
    }

    async fn forward(&self, provider: &Name, id: InboxId, trace: TraceId, data: Value) -> Option<Delivery> {
        let callback = self.state().routes.get(provider).cloned()?;
        Some(self.deliver(&callback, CallbackType::WebhookReceived, &id.to_string(), trace, data).await)
    }
}

fn no_route() -> Refusal {
    Refusal::new(ErrorCode::RouteNotFound, "no route takes this webhook: `server.webhook_route(provider, callback)`")
}
