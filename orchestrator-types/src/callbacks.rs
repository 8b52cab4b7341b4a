//! What a product receives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::execute::ErrorView;
use crate::names::{Name, WorkspaceId};
use crate::payloads::PayloadRef;
use crate::time::Timestamp;

/// What a callback tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallbackType {
    /// A provider's event, verified and deduplicated.
    #[serde(rename = "webhook.received")]
    WebhookReceived,
    /// A job is done.
    #[serde(rename = "job.succeeded")]
    JobSucceeded,
    /// A job was given up.
    #[serde(rename = "job.dead")]
    JobDead,
}

/// The body of a callback. `D` is [`WebhookCallbackData`], [`JobCallbackData`] or plain JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallbackBody<D = Value> {
    /// What it tells.
    #[serde(rename = "type")]
    pub kind: CallbackType,
    /// The inbox entry's id or the job's.
    pub id: String,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// When it happened.
    pub time: Timestamp,
    /// The id of the delivery that this one repeats, where an operator replayed what had been delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// The rest.
    pub data: D,
}

/// `data` of `webhook.received`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookCallbackData {
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
    /// The sender's JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// The body in base64, if it is no JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// Where the body is, if it was too large to stand here: `GET /payloads/{id}` reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_ref: Option<PayloadRef>,
    /// When it was taken in.
    pub received_at: Timestamp,
}

/// `data` of `job.succeeded` and `job.dead`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobCallbackData {
    /// The connector's name.
    pub connector: Option<Name>,
    /// The operation.
    pub operation: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// What the operation answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// As given with the job.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}
