//! The bodies of callbacks: rendered once, and the same bytes on each try.

use bytes::Bytes;
use data_encoding::BASE64;
use orchestrator_types::{
    CallbackBody, CallbackType, ErrorView, JobCallbackData, Name, PayloadRef, Timestamp, WorkspaceId,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::store::JobRecord;

/// A webhook to deliver.
pub(crate) struct WebhookDelivery<'a> {
    /// The inbox entry's id.
    pub(crate) id: &'a str,
    /// The `webhook-id` that it was delivered under before.
    pub(crate) replay_of: Option<&'a str>,
    pub(crate) workspace: &'a WorkspaceId,
    pub(crate) provider: &'a Name,
    pub(crate) route: &'a Name,
    pub(crate) account: Option<&'a str>,
    pub(crate) event_id: &'a str,
    pub(crate) event_type: Option<&'a str>,
    /// The sender's bytes.
    pub(crate) body: &'a [u8],
    pub(crate) is_json: bool,
    /// Where the body is, if it does not stand here.
    pub(crate) payload_ref: Option<PayloadRef>,
    pub(crate) received_at: Timestamp,
}

#[derive(Serialize)]
struct WebhookData<'a> {
    provider: &'a Name,
    route: &'a Name,
    account: Option<&'a str>,
    event_id: &'a str,
    event_type: Option<&'a str>,
    /// The sender's JSON as it was sent: parsing it would rewrite its numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_ref: Option<&'a PayloadRef>,
    received_at: Timestamp,
}

/// The body of `webhook.received`.
pub(crate) fn render_webhook(delivery: &WebhookDelivery<'_>) -> Result<Bytes, Error> {
    let inline = delivery.payload_ref.is_none();
    let json = inline && delivery.is_json;
    let payload: Option<&RawValue> = if json { serde_json::from_slice(delivery.body).ok() } else { None };
    let data = WebhookData {
        provider: delivery.provider,
        route: delivery.route,
        account: delivery.account,
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        payload,
        payload_base64: (inline && payload.is_none()).then(|| BASE64.encode(delivery.body)),
        payload_ref: delivery.payload_ref.as_ref(),
        received_at: delivery.received_at,
    };
    encode(&CallbackBody {
        kind: CallbackType::WebhookReceived,
        id: delivery.id.to_owned(),
        workspace: delivery.workspace.clone(),
        time: delivery.received_at,
        replay_of: delivery.replay_of.map(str::to_owned),
        data,
    })
}

/// The body of `job.succeeded` (with the output) or `job.dead` (with the error).
pub(crate) fn render_job(
    record: &JobRecord,
    outcome: Result<&serde_json::Value, &ErrorView>,
    now: Timestamp,
) -> Result<Bytes, Error> {
    let kind = if outcome.is_ok() { CallbackType::JobSucceeded } else { CallbackType::JobDead };
    let data = JobCallbackData {
        connector: record.job.connector.clone(),
        operation: record.job.operation.clone(),
        attempts: record.attempt,
        output: outcome.ok().cloned(),
        error: outcome.err().cloned(),
        metadata: record.job.metadata.clone(),
    };
    let (id, workspace) = (record.job.id.to_string(), record.workspace.clone());
    encode(&CallbackBody { kind, id, workspace, time: now, replay_of: None, data })
}

fn encode(body: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| Error::Internal(error.to_string()))
}
