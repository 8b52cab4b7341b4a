//! The bytes of an object, on their way in and out.

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::{StreamExt, stream};
use object_store::GetResult;
use orchestrator_core::connector::{CallContext, CallError, CallErrorKind, Sent};
use orchestrator_core::payload::{PayloadError, PayloadReader, PayloadStream};
use orchestrator_core::types::PayloadRef;

use super::connector::Opened;
use super::input::header_problem;
use super::object::unsendable;
use crate::payloads::PayloadName;

/// The most of a payload that is held in memory, where it cannot go in parts: 64 MiB.
const WHOLE: u64 = 64 << 20;
const UNKNOWN: &str = "application/octet-stream";

/// What is to be put.
pub(super) enum Content {
    Given(Bytes),
    Payload(PayloadReader),
}

impl Content {
    /// What an input gives. Of a payload, nothing is read but its beginning.
    ///
    /// # Errors
    /// The payload is lost or cannot be had now, or the input is one that its check refuses.
    pub(super) async fn of(
        context: &CallContext,
        text: Option<String>,
        encoded: Option<String>,
        payload: Option<PayloadName>,
    ) -> Result<Self, CallError> {
        Ok(match (text, encoded, payload) {
            (Some(text), ..) => Self::Given(text.into()),
            (None, Some(encoded), _) => {
                let bytes = BASE64.decode(encoded.as_bytes());
                Self::Given(bytes.map_err(|_| unsendable("the content is not base64"))?.into())
            }
            (None, None, Some(payload)) => Self::Payload(context.payloads()?.open(payload.id).await?),
            (None, None, None) => return Err(unsendable("there is no content")),
        })
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Given(bytes) => bytes.len() as u64,
            Self::Payload(reader) => reader.reference.size,
        }
    }

    /// Its media type, if it knows one that can be sent.
    pub(super) fn kind(&self) -> Option<&str> {
        match self {
            Self::Given(_) => None,
            Self::Payload(reader) => Some(reader.reference.content_type.as_str())
                .filter(|kind| !kind.is_empty() && header_problem("", Some(kind)).is_none()),
        }
    }

    pub(super) fn pieces(self) -> PayloadStream {
        match self {
            Self::Given(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Self::Payload(reader) => reader.body,
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// It is lost, cannot be had now, or is a payload of more than 64 MiB.
    pub(super) async fn whole(self) -> Result<Bytes, CallError> {
        match self {
            Self::Given(bytes) => Ok(bytes),
            Self::Payload(reader) if reader.reference.size > WHOLE => {
                Err(unsendable("a payload that is put under a condition has at most 64 MiB"))
            }
            Self::Payload(mut reader) => {
                let mut whole = Vec::with_capacity(usize::try_from(reader.reference.size).unwrap_or(0));
                while let Some(piece) = reader.body.next().await {
                    whole.extend_from_slice(&piece?);
                }
                Ok(whole.into())
            }
        }
    }
}

/// What was got.
pub(super) enum Got {
    Bytes(Vec<u8>),
    Payload(PayloadRef),
}

impl Got {
    /// Reads what was found: up to `most` bytes into memory, else into a payload.
    ///
    /// # Errors
    /// It broke off, is larger than a payload may be, or payloads cannot be had now.
    pub(super) async fn read(
        context: &CallContext,
        opened: &Opened,
        found: GetResult,
        kind: Option<&str>,
        most: usize,
    ) -> Result<Self, CallError> {
        if found.range.end.saturating_sub(found.range.start) > most as u64 {
            let Ok(payloads) = context.payloads() else { return Err(too_large(most)) };
            let pieces = found.into_stream().map(|piece| piece.map_err(Into::into)).boxed();
            let written = payloads.write(kind.unwrap_or(UNKNOWN), pieces).await;
            return written.map(Self::Payload).map_err(|problem| match problem {
                PayloadError::Source(_) => opened.seen.failure(),
                problem => CallError { sent: Sent::Maybe, ..problem.into() },
            });
        }
        let (mut bytes, mut pieces) = (Vec::new(), found.into_stream());
        while let Some(piece) = pieces.next().await {
            let piece = opened.told(piece)?;
            if piece.len() > most - bytes.len() {
                return Err(too_large(most));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Self::Bytes(bytes))
    }
}

fn too_large(most: usize) -> CallError {
    let detail = format!("the object is larger than the settings' {most} bytes: get it in parts by `range`");
    CallError::new(CallErrorKind::Rejected, Sent::Maybe, detail)
}
