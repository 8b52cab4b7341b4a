//! One delivery to the product: signed anew, the same bytes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use orchestrator_types::{SecretRef, TraceId, UpstreamView, WorkspaceId};
use serde_json::{Value, json};

use super::signing::sign;
use super::transport::{CallbackRequest, CallbackTransport};
use crate::clock::Clock;
use crate::connector::{CallError, CallErrorKind, Sent};
use crate::execute::{Attempt, redact};
use crate::secrets::{Redactor, SecretResolver};

/// Answers that mean: never send this again.
const REFUSED: [u16; 4] = [400, 410, 413, 422];
/// Answers of the 4xx family that may pass.
const MAY_PASS: [u16; 3] = [408, 425, 429];
const SHOWN: usize = 16 * 1024;

/// A delivery of one body to one callback.
pub(crate) struct Delivery {
    pub(crate) transport: Arc<dyn CallbackTransport>,
    pub(crate) secrets: Arc<SecretResolver>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) url: String,
    pub(crate) signing_secret: SecretRef,
    /// The `webhook-id`: the same on each try.
    pub(crate) id: String,
    pub(crate) trace_id: TraceId,
    pub(crate) fence: u64,
    pub(crate) body: Bytes,
    /// Whether a refusal that is not final by itself has been met too often.
    pub(crate) last_refusal: bool,
}

#[async_trait]
impl Attempt for Delivery {
    async fn attempt(&self) -> Result<Value, CallError> {
        let unavailable = |detail: &str| CallError::new(CallErrorKind::SecretUnavailable, Sent::No, detail);
        let secrets = self
            .secrets
            .resolve(&self.workspace, &self.signing_secret)
            .await
            .map_err(|error| unavailable(&error.to_string()))?;
        let mut headers = sign(&secrets, &self.id, self.clock.now(), &self.body)
            .map_err(|_| unavailable("the signing secret is not a Standard Webhooks secret"))?;
        self.describe(&mut headers);
        let request = CallbackRequest { url: self.url.clone(), headers, body: self.body.clone() };
        let answer = self.transport.deliver(request).await?;
        if (200..300).contains(&answer.status) {
            return Ok(json!({"status": answer.status}));
        }
        let shown = &answer.body[..answer.body.len().min(SHOWN)];
        let body = serde_json::from_slice(shown)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(shown).into_owned()));
        let upstream = UpstreamView { status: answer.status, body };
        let refused = (400..500).contains(&answer.status) && !MAY_PASS.contains(&answer.status);
        let last = REFUSED.contains(&answer.status) || (refused && self.last_refusal);
        let kind = if last { CallErrorKind::Rejected } else { CallErrorKind::Failed };
        let detail = format!("the product answered {}", answer.status);
        let mut error = CallError::answered(kind, upstream, detail).retry_after(answer.retry_after);
        redact(&mut error, &Redactor::new(&secrets));
        Err(error)
    }
}

impl Delivery {
    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Both are plain ASCII by their making.
        if let Ok(traceparent) = HeaderValue::from_str(&self.trace_id.traceparent()) {
            headers.insert("traceparent", traceparent);
        }
        headers.insert("orchestrator-fence", HeaderValue::from(self.fence));
    }
}
