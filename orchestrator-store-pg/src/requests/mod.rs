//! The request log, what is kept for idempotency keys, and retention.

pub(crate) mod begin;
mod kept;
pub(crate) mod log;
mod sweep;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::store::{Begin, Begun, KeyRoute, KnownAnswer, RequestEntry, RequestLog, StoreError, Sweep};
use orchestrator_core::types::{IdempotencyKey, RequestId, RequestView, WorkspaceId};

use crate::PgStore;
use crate::session::owned;

#[async_trait]
impl RequestLog for PgStore {
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError> {
        self.lanes.begin.submit((workspace.clone(), begin)).await
    }

    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError> {
        let (shared, workspace, key) = (self.shared.clone(), workspace.clone(), key.clone());
        owned(async move { kept::kept(&shared, &workspace, route, &key).await }).await
    }

    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError> {
        log::log(&self.shared, &self.lanes.log, entries).await
    }

    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError> {
        let (shared, workspace, subject) = (self.shared.clone(), workspace.clone(), subject.to_owned());
        owned(async move { log::about_subject(&shared, &workspace, &subject).await }).await
    }

    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError> {
        let (shared, workspace, subject) = (self.shared.clone(), workspace.clone(), subject.map(str::to_owned));
        owned(async move { log::requests(&shared, &workspace, subject.as_deref(), before, limit).await }).await
    }

    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
        let shared = self.shared.clone();
        owned(async move { sweep::sweep(&shared, &sweep, limit).await }).await
    }
}
