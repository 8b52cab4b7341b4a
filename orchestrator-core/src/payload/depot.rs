//! Rows and objects together: the one place that writes and reads payloads.
//!
//! One rule: the object first, the row with its owner after it. What dies in between is an object that no row names.

use std::ops::Range;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use futures_util::{StreamExt, stream};
use orchestrator_types::{Environment, PayloadId, PayloadRef, WorkspaceId};

use super::error::PayloadError;
use super::key::{PayloadKey, PayloadScope};
use super::port::{ByteStream, ObjectError, PayloadStore};
use super::reader::{self, Expected, PayloadStream};
use super::writer::passing;
use crate::clock::Clock;
use crate::secrets::seal::{PayloadCipher, PayloadSeal, sealed_size};
use crate::secrets::{SecretResolver, data_key};
use crate::store::{NewPayload, Store};

/// A payload that is being read.
pub struct PayloadReader {
    /// What it is.
    pub reference: PayloadRef,
    /// Which of its bytes.
    pub range: Range<u64>,
    /// They.
    pub body: PayloadStream,
}

/// Rows and objects.
pub(crate) struct Depot {
    pub(crate) environment: Environment,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) objects: Arc<dyn PayloadStore>,
    pub(crate) secrets: Arc<SecretResolver>,
    pub(crate) clock: Arc<dyn Clock>,
    /// No payload is larger.
    pub(crate) max: u64,
}

impl Depot {
    pub(crate) fn scope(&self, workspace: &WorkspaceId) -> PayloadScope {
        PayloadScope { environment: self.environment.clone(), workspace: workspace.clone() }
    }

    fn key(&self, workspace: &WorkspaceId, id: PayloadId) -> PayloadKey {
        self.scope(workspace).key(id)
    }

    /// Stores bytes under a new id. They are nobody's until the answer is written with an owner.
    pub(crate) async fn write(
        &self,
        workspace: &WorkspaceId,
        content_type: &str,
        encrypt: bool,
        body: ByteStream,
    ) -> Result<NewPayload, PayloadError> {
        let id = PayloadId::at(u64::try_from(self.clock.now().unix_ms()).unwrap_or(0));
        let (seal, cipher) = if encrypt {
            let key = data_key(&self.secrets, workspace).await.map_err(PayloadError::unavailable)?;
            let seal = PayloadSeal::draw(&key).map_err(PayloadError::unavailable)?;
            let cipher = PayloadCipher::new(&key, &seal, &self.environment, workspace, id);
            (Some(seal), Some(cipher.map_err(PayloadError::unavailable)?))
        } else {
            (None, None)
        };
        let (body, passed) = passing(body, self.max, cipher);
        match self.objects.put(&self.key(workspace, id), body).await {
            Ok(_) => {}
            // The id was drawn just now: what lies there is not ours.
            Err(error @ (ObjectError::Exists | ObjectError::NotFound)) => return Err(PayloadError::unavailable(error)),
            Err(error) => return Err(error.into()),
        }
        let passed = passed.get().copied().ok_or_else(|| PayloadError::unavailable("it was not read to its end"))?;
        let content_type = sound_type(content_type).to_owned();
        Ok(NewPayload { id, size: passed.size, sha256: passed.sha256, content_type, seal })
    }

    /// The row of a payload.
    pub(crate) async fn row(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<NewPayload, PayloadError> {
        Ok(self.store.payload(workspace, id).await?.ok_or(PayloadError::NotFound)?.payload)
    }

    /// Reads a payload, or the bytes `range` of it, which must lie within it. Answers when the first of them are proven.
    pub(crate) async fn open(
        &self,
        workspace: &WorkspaceId,
        row: &NewPayload,
        range: Option<Range<u64>>,
    ) -> Result<PayloadReader, PayloadError> {
        let opened = self.opened(workspace, row, range).await;
        if matches!(opened, Err(PayloadError::Lost)) {
            tracing::error!(%workspace, payload = %row.id, "a payload is lost: its object is gone or damaged");
            // Whether this is noted changes nothing for the reader.
            let _ = self.store.note_lost_payload(workspace, row.id).await;
        }
        opened
    }

    async fn opened(
        &self,
        workspace: &WorkspaceId,
        row: &NewPayload,
        range: Option<Range<u64>>,
    ) -> Result<PayloadReader, PayloadError> {
        let wanted = range.unwrap_or(0..row.size);
        let expected = Expected { size: row.size, sha256: row.sha256 };
        let key = self.key(workspace, row.id);
        let mut body = match &row.seal {
            None => {
                let object = self.objects.get(&key, None).await?;
                whole(object.size, row.size)?;
                reader::open(object.body, expected, wanted.clone())
            }
            Some(seal) => {
                let data = data_key(&self.secrets, workspace).await;
                let data = data.map_err(PayloadError::unavailable)?;
                let cipher = PayloadCipher::new(&data, seal, &self.environment, workspace, row.id);
                let cipher = cipher.map_err(PayloadError::unavailable)?;
                let object = self.objects.get(&key, Some(reader::sealed_range(&wanted))).await?;
                whole(object.size, sealed_size(row.size))?;
                reader::sealed(object.body, cipher, expected, wanted.clone())
            }
        };
        // The first piece is waited for: a payload that is lost is told before anything of it is.
        let body = match body.next().await {
            None => stream::empty().boxed(),
            Some(Err(error)) => return Err(error),
            Some(first) => stream::iter([first]).chain(body).boxed(),
        };
        Ok(PayloadReader { reference: reference(row), range: wanted, body })
    }

    /// Removes objects that no row names. What does not work now is found by the sweep.
    pub(crate) async fn discard(&self, workspace: &WorkspaceId, ids: impl IntoIterator<Item = PayloadId>) {
        for id in ids {
            if let Err(error) = self.objects.delete(&self.key(workspace, id)).await {
                tracing::debug!(%error, %workspace, payload = %id, "an object is left to the sweep");
            }
        }
    }
}

fn whole(found: u64, expected: u64) -> Result<(), PayloadError> {
    if found == expected { Ok(()) } else { Err(PayloadError::Lost) }
}

/// A payload as documents refer to it.
pub(crate) fn reference(row: &NewPayload) -> PayloadRef {
    PayloadRef {
        id: row.id,
        size: row.size,
        sha256: HEXLOWER.encode(&row.sha256),
        content_type: row.content_type.clone(),
    }
}

const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A media type as it may be kept and sent again: one line of ASCII. Anything else is just bytes.
fn sound_type(text: &str) -> &str {
    let sound = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let text = text.trim();
    if text.len() <= 255 && text.contains('/') && text.bytes().all(sound) { text } else { UNKNOWN_TYPE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_could_break_a_header_is_none() {
        for sound in ["text/plain", "text/plain; charset=utf-8", " application/json "] {
            assert_eq!(sound_type(sound), sound.trim());
        }
        for crooked in ["", "text", "text/plain\r\nSet-Cookie: a", "text/\u{e9}", &format!("a/{}", "b".repeat(300))] {
            assert_eq!(sound_type(crooked), UNKNOWN_TYPE);
        }
    }
}
