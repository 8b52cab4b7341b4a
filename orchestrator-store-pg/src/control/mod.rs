//! Control records, routes and audit.

pub(crate) mod audit;
mod commit;
pub(crate) mod read;
pub(crate) mod routes;

use async_trait::async_trait;
use orchestrator_core::store::{
    CommitError, Committed, ControlChange, ControlStore, Owner, Record, RecordKind, RouteKey, RouteOwner, StoreError,
};
use orchestrator_core::types::{AuditRecord, Name, WorkspaceId};

use crate::PgStore;
use crate::session::owned;

#[async_trait]
impl ControlStore for PgStore {
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError> {
        let shared = self.shared.clone();
        owned(async move { commit::commit(&shared, &change).await }).await?
    }

    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        self.lanes.records.submit((owner.clone(), kind, key.to_owned())).await
    }

    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (shared, owner, after) = (self.shared.clone(), owner.clone(), after.map(str::to_owned));
        owned(async move { read::records(&shared, &owner, kind, after.as_deref(), limit).await }).await
    }

    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError> {
        let (shared, after) = (self.shared.clone(), after.cloned());
        owned(async move { read::workspaces(&shared, after.as_ref(), limit).await }).await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
        let shared = self.shared.clone();
        owned(async move { read::changed_since(&shared, epoch).await }).await
    }

    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError> {
        self.lanes.routes.submit((provider.clone(), key.clone())).await
    }

    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError> {
        let (shared, provider) = (self.shared.clone(), provider.clone());
        owned(async move { routes::of_provider(&shared, &provider, limit).await }).await
    }

    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
        let (shared, workspace, route) = (self.shared.clone(), workspace.clone(), route.clone());
        owned(async move { routes::verified(&shared, &workspace, &route).await }).await
    }

    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        let (shared, owner) = (self.shared.clone(), owner.clone());
        owned(async move { audit::read(&shared, &owner, after, limit).await }).await
    }
}
