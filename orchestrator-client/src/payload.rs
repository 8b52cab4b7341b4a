//! Payloads as they come, for those that are too large to be held.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use http_body_util::BodyExt;
use orchestrator_types::PayloadId;

use crate::answer::ETag;
use crate::client::Client;
use crate::error::{Error, TransportError};
use crate::transport::{Body, Call};

/// A payload that is being read. Its last bytes come only if all of it is what was stored: what ended without an error is whole.
pub struct PayloadBody {
    /// What it is, if the server says.
    pub content_type: Option<String>,
    /// Its validator: with it a reading that broke off goes on.
    pub etag: Option<ETag>,
    /// Where it begins: what was asked for, or 0 if the server begins anew.
    pub from: u64,
    body: Body,
    silence: std::time::Duration,
}

impl PayloadBody {
    /// The next bytes; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection broke, or the server found the payload damaged: see [`Client::open_payload`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match tokio::time::timeout(self.silence, self.body.frame()).await {
                Ok(Some(frame)) => {
                    let Ok(bytes) = frame?.into_data() else { continue };
                    return Ok(Some(bytes));
                }
                Ok(None) => return Ok(None),
                Err(_) => return Err(Error::Transport(TransportError::silent(self.silence))),
            }
        }
    }
}

impl fmt::Debug for PayloadBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("PayloadBody");
        out.field("content_type", &self.content_type).field("from", &self.from).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a payload, to be read as it comes; nothing of it is held.
    ///
    /// # Errors
    /// An [`Error`]; 410 `payload_lost` if its bytes are gone or damaged.
    pub async fn open_payload(&self, id: PayloadId) -> Result<PayloadBody, Error> {
        self.read_payload(payload(id), 0).await
    }

    /// Goes on with a payload from byte `from`, if it is still the one that `etag` came with; else from its beginning.
    ///
    /// # Errors
    /// As [`open_payload`](Self::open_payload); 416 if it has no such byte.
    pub async fn resume_payload(&self, id: PayloadId, from: u64, etag: &ETag) -> Result<PayloadBody, Error> {
        let call = payload(id).header(RANGE, &format!("bytes={from}-")).header(IF_RANGE, etag.as_str());
        self.read_payload(call, from).await
    }

    /// Opens a payload if it is another than `etag` came with.
    ///
    /// # Errors
    /// As [`open_payload`](Self::open_payload).
    pub async fn open_payload_if_changed(&self, id: PayloadId, etag: &ETag) -> Result<Option<PayloadBody>, Error> {
        match self.read_payload(payload(id).header(IF_NONE_MATCH, etag.as_str()), 0).await {
            Err(Error::Status { status: StatusCode::NOT_MODIFIED, .. }) => Ok(None),
            read => read.map(Some),
        }
    }

    async fn read_payload(&self, call: Call, from: u64) -> Result<PayloadBody, Error> {
        let (head, body) = self.transport().open(&call, self.caller()).await?.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(PayloadBody {
            content_type: text(CONTENT_TYPE),
            etag: text(ETAG).map(ETag::new),
            from: if head.status == StatusCode::PARTIAL_CONTENT { from } else { 0 },
            body,
            silence: self.transport().silence(),
        })
    }
}

fn payload(id: PayloadId) -> Call {
    Call::get("get_payload", ["payloads".to_owned(), id.to_string()])
}
