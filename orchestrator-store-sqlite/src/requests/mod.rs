//! The request log, the answers kept for idempotency keys, and what goes when its time is over.

mod begin;
pub(crate) mod keys;
mod log;
mod sweep;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::store::{Begin, Begun, KeyRoute, KnownAnswer, RequestEntry, RequestLog, StoreError, Sweep};
use orchestrator_core::types::{IdempotencyKey, RequestId, RequestView, WorkspaceId};

use crate::SqliteStore;

pub(crate) use log::insert;

#[async_trait]
impl RequestLog for SqliteStore {
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError> {
        self.write(begin::Start { workspace: workspace.clone(), begin }).await
    }

    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError> {
        keys::kept(self, workspace, route, key).await
    }

    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(log::Write(entries)).await
    }

    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError> {
        log::about(self, workspace, subject).await
    }

    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError> {
        log::requests(self, workspace, subject, before, limit).await
    }

    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
        sweep::sweep(self, sweep, limit).await
    }
}
