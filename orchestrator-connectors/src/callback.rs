//! Callbacks over HTTP: the product's endpoint is chosen by a tenant, so it is reached through the egress guard.

use async_trait::async_trait;
use http::Method;
use orchestrator_core::callback::{CallbackAnswer, CallbackRequest, CallbackTransport};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use url::Url;

use crate::egress::{BodyLimit, EXCERPT_BYTES, EgressClient, EgressLimits, retry_after};

/// How much of a product's answer is kept: 16 KiB. What goes beyond it is not read.
const KEPT: BodyLimit = BodyLimit::Beginning(EXCERPT_BYTES);

/// Delivers callbacks through the egress guard. Cloning shares the client.
#[derive(Debug, Clone)]
pub struct HttpCallbacks {
    client: EgressClient,
}

impl HttpCallbacks {
    /// Delivers through `client`.
    #[must_use]
    pub fn new(client: EgressClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl CallbackTransport for HttpCallbacks {
    async fn deliver(&self, request: CallbackRequest) -> Result<CallbackAnswer, CallError> {
        let url = Url::parse(&request.url).map_err(|_| {
            CallError::new(CallErrorKind::Rejected, Sent::No, "the callback's URL is not one that can be called")
        })?;
        let limits = EgressLimits { success: KEPT, other: KEPT };
        let answer = self.client.send(Method::POST, url, request.headers, request.body, limits).await?;
        Ok(CallbackAnswer {
            status: answer.status.as_u16(),
            retry_after: retry_after(&answer.headers),
            body: answer.body,
        })
    }
}
