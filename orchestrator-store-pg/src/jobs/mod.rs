//! Jobs. What has not ended lies in a narrow table of its own, whose rows say whether they may run, so that a claim is a
//! look-up in an index that holds nothing else.

mod cancel;
mod claim;
mod dead;
pub(crate) mod enqueue;
mod order;
mod read;
mod rescue;
mod row;
pub(crate) mod settle;

use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{
    Cancelled, Claim, ClaimNamed, ClaimedJob, DeadFilter, Enqueue, Enqueued, HeldLease, JobFilter, JobRecord, JobStore,
    Moved, NewAudit, NewEvent, QueueStats, Settled, Settlement, StoreError,
};
use orchestrator_core::types::{JobId, Timestamp, WorkspaceId};

use crate::PgStore;
use crate::session::owned;

#[async_trait]
impl JobStore for PgStore {
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        enqueue::enqueue(&self.shared, &self.lanes.accept, workspace.clone(), enqueue).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        let shared = self.shared.clone();
        owned(async move { claim::claim(&shared, &claim).await }).await
    }

    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError> {
        let shared = self.shared.clone();
        owned(async move { claim::claim_named(&shared, &claim).await }).await
    }

    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError> {
        let (shared, after) = (self.shared.clone(), after.cloned());
        owned(async move { claim::ready_heads(&shared, after.as_ref(), workspaces, each).await }).await
    }

    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError> {
        let shared = self.shared.clone();
        owned(async move { rescue::renew(&shared, held, lease).await }).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        settle::settle(&self.shared, &self.lanes.settle, settlements).await
    }

    async fn rescue(&self, owner: &str, lease: Duration, limit: usize) -> Result<(usize, Vec<ClaimedJob>), StoreError> {
        let (shared, owner) = (self.shared.clone(), owner.to_owned());
        owned(async move { rescue::rescue(&shared, &owner, lease, limit).await }).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let shared = self.shared.clone();
        owned(async move { read::next_due(&shared).await }).await
    }

    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { cancel::cancel(&shared, &workspace, job, &event).await }).await
    }

    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { read::job(&shared, &workspace, job).await }).await
    }

    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let (shared, workspace, filter) = (self.shared.clone(), workspace.clone(), filter.clone());
        owned(async move { read::jobs(&shared, &workspace, &filter, before, limit).await }).await
    }

    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let (shared, workspace, filter) = (self.shared.clone(), workspace.clone(), filter.clone());
        owned(async move { read::dead(&shared, &workspace, &filter, before, limit).await }).await
    }

    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { dead::replay(&shared, &workspace, &jobs, &audit).await }).await
    }

    async fn purge(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<JobId>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { dead::purge(&shared, &workspace, &jobs, &audit).await }).await
    }

    async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        let shared = self.shared.clone();
        owned(async move { read::queue_stats(&shared).await }).await
    }
}
