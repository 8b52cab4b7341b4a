//! The webhook ingress and its inbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{InboxId, JobId};
use crate::names::Name;
use crate::payloads::PayloadRef;
use crate::time::Timestamp;
use crate::trace::TraceId;

/// The answer to a provider: the event is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookAccepted {
    /// The inbox entry; for a duplicate that of the first delivery.
    pub id: InboxId,
    /// Whether it had been taken in before.
    pub duplicate: bool,
}

/// How an inbox entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum InboxStatus {
    /// Taken in; nobody is to be called: it waits to be polled.
    Received,
    /// Its delivery is under way.
    Delivering,
    /// The product has it.
    Delivered,
    /// Its delivery was given up.
    Dead,
}

/// An inbox entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxView {
    /// The entry.
    pub id: InboxId,
    /// The provider.
    pub provider: Name,
    /// The route that took it in.
    pub route: Name,
    /// The account that it names.
    pub account: Option<String>,
    /// The provider's id of the event.
    pub event_id: String,
    /// The provider's type of the event.
    pub event_type: Option<String>,
    /// When it was taken in.
    pub received_at: Timestamp,
    /// How it stands.
    pub status: InboxStatus,
    /// The job that delivers it.
    pub job: Option<JobId>,
    /// How often it came again.
    pub duplicates: u64,
    /// The headers, that of the signature redacted. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The sender's JSON. Absent in lists, if it is none, and after retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// The body in base64, if it is no JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// Where the body is, if it was too large to stand here: `GET /payloads/{id}` reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_ref: Option<PayloadRef>,
    /// The trace.
    pub trace_id: TraceId,
}
