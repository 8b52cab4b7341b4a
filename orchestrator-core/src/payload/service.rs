//! The service.

use std::ops::Range;
use std::time::Duration;

use orchestrator_types::{PayloadId, PayloadRef, PayloadUploaded, WorkspaceId};

use super::depot::{Depot, PayloadReader, reference};
use super::port::ByteStream;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::Error;
use crate::store::StoreError;

/// What nobody names is kept so long.
pub(crate) const UNNAMED: Duration = Duration::from_secs(24 * 60 * 60);

/// The payloads of workspaces.
#[derive(Clone, Copy)]
pub struct Payloads<'a>(pub(crate) &'a Engine);

impl Payloads<'_> {
    /// Stores a body, to be named by the input of a call. It goes after a day, unless a job names it by then.
    /// Dropping the future stores nothing.
    ///
    /// # Errors
    /// No such workspace, it is suspended, the body breaks off or is too large, or it cannot be stored now.
    pub async fn upload(
        &self,
        workspace: &WorkspaceId,
        content_type: &str,
        body: ByteStream,
    ) -> Result<PayloadUploaded, Error> {
        let live = self.0.serving(workspace).await?;
        let depot = self.0.payloads.as_ref().ok_or_else(nowhere)?;
        let payload = depot.write(workspace, content_type, live.config.payloads.encrypt, body).await?;
        let payload_ref = reference(&payload);
        self.0.store.add_payload(workspace, payload).await?;
        Ok(PayloadUploaded { payload_ref, expires_at: self.0.store_time.now().after(UNNAMED) })
    }

    /// No payload has more bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.0.payloads.as_ref().map_or(0, |depot| depot.max)
    }

    /// What a payload is.
    ///
    /// # Errors
    /// No such workspace or payload, or the store.
    pub async fn get(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<PayloadRef, Error> {
        let depot = self.depot(workspace).await?;
        Ok(reference(&depot.row(workspace, id).await?))
    }

    /// Opens a payload, or the bytes `range` of it. Its hash is checked by the time its last bytes come, and they are held
    /// back until it is.
    ///
    /// # Errors
    /// No such workspace or payload, the range does not lie within it, it is lost, or it cannot be had now.
    pub async fn open(
        &self,
        workspace: &WorkspaceId,
        id: PayloadId,
        range: Option<Range<u64>>,
    ) -> Result<PayloadReader, Error> {
        let depot = self.depot(workspace).await?;
        let row = depot.row(workspace, id).await?;
        if range.as_ref().is_some_and(|range| range.start >= range.end || range.end > row.size) {
            return Err(Error::invalid("", "the range does not lie within the payload"));
        }
        Ok(depot.open(workspace, &row, range).await?)
    }

    async fn depot(&self, workspace: &WorkspaceId) -> Result<&Depot, Error> {
        self.0.workspace(workspace).await?;
        self.0.payloads.as_deref().ok_or(Error::not_found("payload"))
    }
}

fn nowhere() -> Error {
    Error::Unavailable(StoreError::unavailable("this install stores no payloads"))
}
