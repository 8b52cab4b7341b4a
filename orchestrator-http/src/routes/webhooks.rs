//! The ingress: no token, the signature is the proof. Its bytes are verified as they came.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use orchestrator_core::Error;
use orchestrator_core::webhooks::{Ingress, signature};
use orchestrator_types::WebhookAccepted;

use crate::api::Api;
use crate::edge::RequestTrace;
use crate::extract::{Named, Raw};
use crate::metrics::WebhookOutcome;
use crate::problem::Refusal;

/// Where the entry is told when the answer itself is the provider's.
const INBOX_ID: HeaderName = HeaderName::from_static("inbox-id");
const TEXT: &str = "text/plain; charset=utf-8";

/// Take a webhook in, by the account that it names
///
/// When this answers 200 the event is durable. A sender that gets anything else sends it again.
#[utoipa::path(
    post, path = "/webhooks/{provider}", tag = "webhooks", operation_id = "take_webhook",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The event, signed as its provider signs"),
    responses((status = 200, description = "It is durable", body = WebhookAccepted))
)]
pub(super) async fn by_account(
    State(api): State<Api>,
    Named(provider): Named<String>,
    trace: RequestTrace,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    ingest(&api, &provider, None, &headers, body, trace).await
}

/// Take a webhook in, by its route
///
/// For senders whose events name no account.
#[utoipa::path(
    post, path = "/webhooks/{provider}/{route_key}", tag = "webhooks", operation_id = "take_webhook_by_route",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The event, signed as its provider signs"),
    responses((status = 200, description = "It is durable", body = WebhookAccepted))
)]
pub(super) async fn by_route(
    State(api): State<Api>,
    Named((provider, route_key)): Named<(String, String)>,
    trace: RequestTrace,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    ingest(&api, &provider, Some(&route_key), &headers, body, trace).await
}

async fn ingest(
    api: &Api,
    provider: &str,
    route_key: Option<&str>,
    headers: &HeaderMap,
    body: Bytes,
    RequestTrace(trace_id): RequestTrace,
) -> Result<Response, Refusal> {
    let ingress = api.engine().webhooks().ingest(provider, route_key, headers, body, trace_id).await;
    let outcome = match &ingress {
        Ok(Ingress::Accepted(WebhookAccepted { duplicate: true, .. })) => WebhookOutcome::Duplicate,
        Ok(_) => WebhookOutcome::Accepted,
        Err(Error::RouteNotFound) => WebhookOutcome::NoRoute,
        Err(Error::SignatureInvalid) => WebhookOutcome::BadSignature,
        Err(Error::WebhookUnreadable(_)) => WebhookOutcome::Unreadable,
        Err(_) => WebhookOutcome::Failed,
    };
    api.metrics().webhook(provider, outcome);
    match ingress? {
        Ingress::Accepted(accepted) => {
            Ok(match signature::provider(provider).and_then(signature::WebhookProvider::acknowledgement) {
                Some(text) => {
                    ([(CONTENT_TYPE, TEXT.to_owned()), (INBOX_ID, accepted.id.to_string())], text).into_response()
                }
                None => Json(accepted).into_response(),
            })
        }
        Ingress::Challenge(challenge) => Ok(([(CONTENT_TYPE, TEXT)], challenge).into_response()),
    }
}
