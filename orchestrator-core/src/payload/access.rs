//! What a connector sees: the payloads of its call's workspace, and no others.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use orchestrator_types::{Environment, PayloadId, PayloadRef, WorkspaceId};

use super::depot::{Depot, PayloadReader, reference};
use super::error::PayloadError;
use super::memory::MemoryPayloads;
use super::port::ByteStream;
use crate::clock::SystemClock;
use crate::memory::MemoryStore;
use crate::secrets::{EnvSecrets, SecretOrigins, SecretResolver};
use crate::store::NewPayload;

/// Payloads of one workspace, for the connector that makes a call of it. Clones share it.
///
/// What is written lives as long as the execution or job whose output names it by `payload_ref`. What no output names is
/// removed after a day.
#[derive(Clone)]
pub struct PayloadAccess(Arc<Inner>);

struct Inner {
    depot: Arc<Depot>,
    workspace: WorkspaceId,
    encrypt: bool,
    written: Mutex<Vec<NewPayload>>,
}

impl PayloadAccess {
    pub(crate) fn new(depot: Arc<Depot>, workspace: WorkspaceId, encrypt: bool) -> Self {
        Self(Arc::new(Inner { depot, workspace, encrypt, written: Mutex::default() }))
    }

    /// Payloads in memory, for the tests of a connector: what is written can be read, by clones too.
    #[must_use]
    pub fn in_memory(environment: Environment, workspace: WorkspaceId) -> Self {
        let clock = SystemClock::shared();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let origins = SecretOrigins { env: EnvSecrets::with_lookup(|_| None), files: None, vault: None };
        let secrets = SecretResolver::new(environment.clone(), store.clone(), None, clock.clone(), origins);
        let (objects, secrets) = (Arc::new(MemoryPayloads::default()), Arc::new(secrets));
        let depot = Depot { environment, store, objects, secrets, clock, max: u64::MAX };
        Self::new(Arc::new(depot), workspace, false)
    }

    /// Opens a payload for reading. Its hash is checked by the time its last bytes come: read to the end before you act on it.
    ///
    /// # Errors
    /// This workspace has no such payload, it is lost, or it cannot be had now.
    pub async fn open(&self, id: PayloadId) -> Result<PayloadReader, PayloadError> {
        let written = self.written().iter().find(|payload| payload.id == id).cloned();
        let row = match written {
            Some(row) => row,
            None => self.0.depot.row(&self.0.workspace, id).await?,
        };
        self.0.depot.open(&self.0.workspace, &row, None).await
    }

    /// Reads a payload of at most `max` bytes into memory.
    ///
    /// # Errors
    /// As [`open`](Self::open); and it is larger.
    pub async fn read(&self, id: PayloadId, max: u64) -> Result<(PayloadRef, Bytes), PayloadError> {
        let reader = self.open(id).await?;
        if reader.reference.size > max {
            return Err(PayloadError::TooLarge { max });
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(reader.reference.size).unwrap_or(0));
        let mut body = reader.body;
        while let Some(piece) = body.next().await {
            whole.extend_from_slice(&piece?);
        }
        Ok((reader.reference, whole.freeze()))
    }

    /// Stores bytes as they come, and answers the reference to put into the output, as `{"payload_ref": …}`.
    /// Dropping the future stores nothing that anybody can read.
    ///
    /// # Errors
    /// The body broke off, is larger than the install lets payloads be, or cannot be stored now.
    pub async fn write(&self, content_type: &str, body: ByteStream) -> Result<PayloadRef, PayloadError> {
        let payload = self.0.depot.write(&self.0.workspace, content_type, self.0.encrypt, body).await?;
        let reference = reference(&payload);
        self.written().push(payload);
        Ok(reference)
    }

    /// Stores bytes that are in memory.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_bytes(&self, content_type: &str, body: Bytes) -> Result<PayloadRef, PayloadError> {
        self.write(content_type, stream::iter([Ok(body)]).boxed()).await
    }

    /// What was written so far.
    pub(crate) fn take_written(&self) -> Vec<NewPayload> {
        std::mem::take(&mut *self.written())
    }

    fn written(&self) -> MutexGuard<'_, Vec<NewPayload>> {
        // A panic elsewhere leaves a list that is whole.
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PayloadAccess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PayloadAccess").field("workspace", &self.0.workspace).finish_non_exhaustive()
    }
}
