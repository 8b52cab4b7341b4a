//! What is too large to stand where it was written: it is stored apart, and a reference stands there.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use orchestrator_types::{FieldError, PayloadId, WorkspaceId};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::access::PayloadAccess;
use super::depot::reference;
use super::error::PayloadError;
use super::names::{is_apart, named_in};
use crate::config::LiveConfig;
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{NewPayload, PayloadLinks};

/// How long it may take to store what is in memory: after this it stays where it is. Shorter than senders of webhooks wait.
const WRITE: Duration = Duration::from_secs(8);
/// How long it may take to read the input of a job, which waits for nobody.
const READ: Duration = Duration::from_secs(30);
/// How many payloads one document may name.
const MOST_NAMED: usize = 100;
const JSON: &str = "application/json";

impl Engine {
    /// What a connector gets to its payloads by.
    pub(crate) fn payload_access(&self, live: &LiveConfig) -> Option<PayloadAccess> {
        let depot = self.payloads.clone()?;
        Some(PayloadAccess::new(depot, live.workspace.clone(), live.config.payloads.encrypt))
    }

    /// Stores a body apart if it is over the workspace's inline limit. `None`: it stays where it is, because it is small, or
    /// because it cannot be stored now: then it is better large than lost.
    pub(crate) async fn store_apart(&self, live: &LiveConfig, content_type: &str, body: &Bytes) -> Option<NewPayload> {
        let depot = self.payloads.as_ref()?;
        if body.len() as u64 <= live.config.payloads.inline_max_bytes {
            return None;
        }
        let body = stream::iter([Ok(body.clone())]).boxed();
        let writing = depot.write(&live.workspace, content_type, live.config.payloads.encrypt, body);
        let problem = match timeout(WRITE, writing).await {
            Ok(Ok(payload)) => return Some(payload),
            Ok(Err(error)) => error,
            Err(late) => PayloadError::unavailable(late),
        };
        let cause = std::error::Error::source(&problem).map(ToString::to_string);
        tracing::warn!(workspace = %live.workspace, error = %problem, cause, "a large body stays inline");
        None
    }

    /// An output as it is answered and kept, with its payloads: those that the connector wrote and names, those that it only
    /// names, and the output itself if it is too large.
    pub(crate) async fn output_apart(
        &self,
        live: &LiveConfig,
        access: Option<&PayloadAccess>,
        output: &Value,
    ) -> (Option<Value>, PayloadLinks) {
        let mut links = PayloadLinks::default();
        let mut written = access.map(PayloadAccess::take_written).unwrap_or_default();
        for (_, id) in named_in(output) {
            match written.iter().position(|payload| payload.id == id) {
                Some(at) => links.new.push(written.swap_remove(at)),
                None => links.named.push(id),
            }
        }
        links.named.retain(|id| links.new.iter().all(|payload| payload.id != *id));
        if let Some(depot) = &self.payloads
            && !written.is_empty()
        {
            // Written and not named: of an attempt that failed after it, or of none's use.
            depot.discard(&live.workspace, written.into_iter().map(|payload| payload.id)).await;
        }
        let limit = live.config.payloads.inline_max_bytes;
        let large = self.payloads.is_some() && is_longer(output, limit);
        let replaced = match large.then(|| serde_json::to_vec(output).ok()).flatten().map(Bytes::from) {
            Some(bytes) => self.store_apart(live, JSON, &bytes).await,
            None => None,
        };
        let output = replaced.map(|payload| {
            let output = json!({"payload_ref": reference(&payload)});
            links.new.push(payload);
            output
        });
        (output, links)
    }

    /// Removes objects that were stored for nothing.
    pub(crate) async fn discard(&self, workspace: &WorkspaceId, ids: Vec<PayloadId>) {
        if let Some(depot) = &self.payloads {
            depot.discard(workspace, ids).await;
        }
    }

    /// The input of a job, wherever it lies.
    pub(crate) async fn job_input(&self, workspace: &WorkspaceId, input: &Bytes) -> Result<Bytes, PayloadError> {
        let Some(id) = is_apart(input) else { return Ok(input.clone()) };
        let depot = self.payloads.clone().ok_or_else(|| PayloadError::unavailable("this node has no payload store"))?;
        // Nothing is written by this access.
        let access = PayloadAccess::new(depot, workspace.clone(), false);
        match timeout(READ, access.read(id, u64::MAX)).await {
            Ok(read) => read.map(|(_, bytes)| bytes),
            Err(late) => Err(PayloadError::unavailable(late)),
        }
    }
}

/// Whether a document has more bytes than `most`. Writes it nowhere, and no further than to that.
fn is_longer(document: &Value, most: u64) -> bool {
    struct Left(u64);

    impl io::Write for Left {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    serde_json::to_writer(Left(most), document).is_err()
}

/// The payloads that an input names: all of them must be there.
///
/// # Errors
/// What is wrong, with pointers under `/input`; or the store.
pub(crate) async fn check_named(
    engine: &Engine,
    workspace: &WorkspaceId,
    input: &Value,
) -> Result<Vec<PayloadId>, Error> {
    let named = named_in(input);
    if named.is_empty() {
        return Ok(Vec::new());
    }
    if named.len() > MOST_NAMED {
        let detail = format!("an input names at most {MOST_NAMED} payloads");
        return Err(Error::InvalidInput(vec![FieldError::new("/input", detail)]));
    }
    let mut ids: Vec<PayloadId> = named.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = engine.store.known_payloads(workspace, &ids).await?;
    let unknown = named.iter().filter(|(_, id)| !known.contains(id));
    let errors: Vec<_> = unknown
        .map(|(pointer, _)| FieldError::new(format!("/input{pointer}/id"), "this workspace has no such payload"))
        .collect();
    if errors.is_empty() { Ok(ids) } else { Err(Error::InvalidInput(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_told_without_writing() {
        let document = json!({"a": ["b", 1.5, null]});
        let length = document.to_string().len() as u64;
        assert!(!is_longer(&document, length) && is_longer(&document, length - 1) && is_longer(&document, 0));
    }
}
