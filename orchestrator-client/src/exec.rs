//! Calls through a connector: executions, payloads, the product's own documents.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use orchestrator_types::{
    ExecuteRequest, ExecuteResponse, ExecutionId, ExecutionView, PayloadId, PayloadUploaded, ProductConfig,
};

use crate::answer::{Answer, ETag};
use crate::client::Client;
use crate::error::Error;
use crate::keyed::KeyedCall;
use crate::transport::Call;

/// A body that was too large to be given inline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload {
    /// Its bytes.
    pub bytes: Bytes,
    /// What they are, if the server says.
    pub content_type: Option<String>,
}

impl Client {
    /// Calls an operation of a connector and waits for its outcome.
    ///
    /// # Errors
    /// The outcomes of the upstream come as [`Error::Problem`]: see [`Error::code`] and the problem's `upstream`.
    pub fn execute(&self, request: &ExecuteRequest) -> KeyedCall<ExecuteResponse> {
        let call = Call::post("execute", ["execute"]).json(request);
        KeyedCall::new(
            self,
            match request.timeout_ms.map(Duration::from_millis) {
                // So that the server's answer about its deadline comes before ours ends.
                Some(deadline) => call.taking(deadline.saturating_add(Duration::from_secs(5))),
                None => call,
            },
        )
    }

    /// The record of an execution: each attempt, and what each policy decided.
    ///
    /// # Errors
    /// An [`Error`]; 404 if the workspace has no such execution.
    pub async fn execution(&self, id: ExecutionId) -> Result<ExecutionView, Error> {
        self.body(&Call::get("get_execution", ["executions".to_owned(), id.to_string()])).await
    }

    /// A body that an answer refers to by `payload_ref`.
    ///
    /// # Errors
    /// An [`Error`]; [`Error::TooLarge`] beyond [`max_answer_bytes`](crate::ClientBuilder::max_answer_bytes).
    pub async fn payload(&self, id: PayloadId) -> Result<Payload, Error> {
        let reply = self.reply(&Call::get("get_payload", ["payloads".to_owned(), id.to_string()])).await?;
        let content_type = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Payload { bytes: reply.body, content_type })
    }

    /// Hands a body in, for an input to name by its `payload_ref`. What no job names goes after a day. Sent once: repeat it if its
    /// answer was lost, and the other one goes by itself.
    ///
    /// # Errors
    /// An [`Error`]; 413 if it is larger than the server takes.
    pub async fn upload(&self, content_type: &str, bytes: Bytes) -> Result<PayloadUploaded, Error> {
        self.body(&Call::post("upload_payload", ["payloads"]).header(CONTENT_TYPE, content_type).raw(bytes)).await
    }

    /// The product's own documents in the active config version.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn product_config(&self) -> Result<ProductConfig, Error> {
        self.body(&Call::get("get_product_config", ["config"])).await
    }

    /// The same with its validator, if it is another than `etag` came with (`None` as `etag`: whatever is there); `None` if it
    /// is the same.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn product_config_if_changed(&self, etag: Option<&ETag>) -> Result<Option<Answer<ProductConfig>>, Error> {
        let call = Call::get("get_product_config", ["config"]);
        match etag {
            Some(etag) => self.changed(call, etag).await,
            None => self.answer(&call).await.map(Some),
        }
    }
}
