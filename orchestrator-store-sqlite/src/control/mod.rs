//! Control records, routes and audit.

mod audit;
mod commit;
mod read;
mod routes;

use async_trait::async_trait;
use orchestrator_core::store::{
    CommitError, Committed, ControlChange, ControlStore, Owner, Record, RecordKind, RouteKey, RouteOwner, StoreError,
};
use orchestrator_core::types::{AuditRecord, Name, WorkspaceId};

use crate::SqliteStore;

pub(crate) use audit::append as append_audit;

#[async_trait]
impl ControlStore for SqliteStore {
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError> {
        self.write(commit::Commit(change)).await?
    }

    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        read::record(self, owner, kind, key).await
    }

    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        read::records(self, owner, kind, after, limit).await
    }

    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError> {
        read::workspaces(self, after, limit).await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
        read::changed_since(self, epoch).await
    }

    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError> {
        routes::holders(self, provider, key).await
    }

    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError> {
        routes::of_provider(self, provider, limit).await
    }

    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
        routes::verified(self, workspace, route).await
    }

    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        audit::read(self, owner, after, limit).await
    }
}
