//! Jobs. Whether a queued one may run is a column of its row, kept true by every transition, so that a claim is a
//! look-up in an index that holds nothing else.

mod claim;
mod dead;
pub(crate) mod enqueue;
mod named;
mod order;
mod read;
mod rescue;
mod row;
mod settle;

use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{
    Cancelled, Claim, ClaimNamed, ClaimedJob, DeadFilter, Enqueue, Enqueued, HeldLease, JobFilter, JobRecord, JobStore,
    Moved, NewAudit, NewEvent, QueueStats, Settled, Settlement, StoreError,
};
use orchestrator_core::types::{JobId, Timestamp, WorkspaceId};

use crate::SqliteStore;

pub(crate) use claim::Turn;
pub(crate) use named::hints;

#[async_trait]
impl JobStore for SqliteStore {
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        self.write(enqueue::Accept { workspace: workspace.clone(), enqueue }).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        self.write(claim::Take(claim)).await
    }

    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError> {
        self.write(named::Take(claim)).await
    }

    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError> {
        self.write(named::Heads { after: after.cloned(), workspaces, each }).await
    }

    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError> {
        self.write(rescue::Renew { held, lease }).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.write(settle::Settle(settlements)).await
    }

    async fn rescue(&self, owner: &str, lease: Duration, limit: usize) -> Result<(usize, Vec<ClaimedJob>), StoreError> {
        self.write(rescue::Rescue { owner: owner.to_owned(), lease, limit }).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        read::next_due(self).await
    }

    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError> {
        self.write(settle::Cancel { workspace: workspace.clone(), job, event }).await
    }

    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        read::job(self, workspace, job).await
    }

    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        read::jobs(self, workspace, filter, before, limit).await
    }

    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        read::dead(self, workspace, filter, before, limit).await
    }

    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        self.write(dead::Replay { workspace: workspace.clone(), jobs, audit }).await
    }

    async fn purge(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<JobId>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        self.write(dead::Purge { workspace: workspace.clone(), jobs, audit }).await
    }

    async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        read::queue_stats(self).await
    }
}
