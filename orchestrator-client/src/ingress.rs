//! The sender's side of the webhook ingress: for the command line, demos and tests.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use orchestrator_types::{Name, Problem, TraceId, WebhookAccepted};

use crate::answer::trace_id;
use crate::client::Client;
use crate::error::Error;
use crate::transport::{Call, Caller};

/// What the ingress answered to a webhook.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WebhookAnswer {
    /// The status.
    pub status: StatusCode,
    /// The body, read.
    pub outcome: WebhookOutcome,
    /// The trace of the request.
    pub trace_id: Option<TraceId>,
}

/// How the ingress took a webhook.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WebhookOutcome {
    /// It is durable, or was before.
    Accepted(WebhookAccepted),
    /// It was refused.
    Refused(Box<Problem>),
    /// Something else; the beginning of the body as text.
    Other(String),
}

impl Client {
    /// Sends a webhook as a provider does: without a token, once, the bytes and headers as they are.
    ///
    /// # Errors
    /// An [`Error`] only if there is no answer; a refusal is a [`WebhookOutcome`].
    pub async fn send_webhook(
        &self,
        provider: &Name,
        route_key: Option<&Name>,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<WebhookAnswer, Error> {
        // How the body is framed is the connection's business; a recorded length would cut it.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        let operation = if route_key.is_some() { "take_webhook_by_route" } else { "take_webhook" };
        let path = ["webhooks", provider.as_str()].into_iter().chain(route_key.map(Name::as_str));
        let call = Call::post(operation, path).anonymous().raw(body).headers(headers);
        let caller = Caller { tokens: None, ..self.caller() };
        let reply = self.transport().exchange(&call, caller).await?;
        let outcome = if reply.status.is_success() {
            reply.json().map(WebhookOutcome::Accepted).ok()
        } else {
            reply.problem().map(|problem| WebhookOutcome::Refused(Box::new(problem)))
        };
        Ok(WebhookAnswer {
            status: reply.status,
            outcome: outcome.unwrap_or_else(|| WebhookOutcome::Other(reply.excerpt())),
            trace_id: trace_id(&reply.headers),
        })
    }
}
