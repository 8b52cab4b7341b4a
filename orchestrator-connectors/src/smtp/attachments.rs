//! The bytes of attached files, from where they lie.

use data_encoding::BASE64;
use lettre::message::header::ContentType;
use orchestrator_core::connector::{CallContext, CallError};
use orchestrator_core::payload::PayloadError;

use super::connector::{too_large, unsendable};
use super::input::{SendInput, inline_bytes};
use super::settings::SmtpSettings;

const UNKNOWN: &str = "application/octet-stream";

/// What is in an attached file.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: ContentType,
}

/// The contents of a message's attachments, in their order. No more is read than the message may hold.
///
/// # Errors
/// A payload is lost or cannot be had now, the message becomes too large, or the input is one that its check refuses.
pub(super) async fn contents(
    settings: &SmtpSettings,
    context: &CallContext,
    input: &SendInput,
) -> Result<Vec<Content>, CallError> {
    let mut left = settings.max_message_bytes.saturating_sub(inline_bytes(input));
    let mut contents = Vec::with_capacity(input.attachments.len());
    for file in &input.attachments {
        let (bytes, own_kind) = match (&file.content_base64, &file.payload_ref) {
            (Some(encoded), _) => {
                let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| unsendable("an attachment is not base64"))?;
                (bytes, None)
            }
            (None, Some(payload)) => {
                // Base64 makes four bytes of three.
                let most = (left / 4).saturating_mul(3) as u64;
                let (reference, bytes) = match context.payloads()?.read(payload.id, most).await {
                    Err(PayloadError::TooLarge { .. }) => return Err(too_large()),
                    read => read?,
                };
                left = left.saturating_sub(bytes.len().div_ceil(3).saturating_mul(4));
                (bytes.into(), Some(reference.content_type))
            }
            (None, None) => return Err(unsendable("an attachment has no content")),
        };
        let kind = match &file.content_type {
            Some(given) => ContentType::parse(given).map_err(|_| unsendable("an attachment's media type is none"))?,
            None => kind_of(own_kind.as_deref())?,
        };
        contents.push(Content { bytes, kind });
    }
    Ok(contents)
}

/// What a payload is said to be, if a file can be that: what has parts of its own would be taken for a part of the message.
fn kind_of(said: Option<&str>) -> Result<ContentType, CallError> {
    let has_parts = |said: &&str| said.to_ascii_lowercase().starts_with("multipart/");
    let said = said.filter(|said| !has_parts(said)).and_then(|said| ContentType::parse(said).ok());
    said.map_or_else(|| ContentType::parse(UNKNOWN).map_err(|_| unsendable("an attachment's media type is none")), Ok)
}
