//! The store that the nodes share, with an observer at its door and, where a test wants one, a flaw behind it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{
    Begin, Begun, Cancelled, Claim, ClaimNamed, ClaimedJob, CommitError, CommitWatch, Committed, ControlChange,
    ControlStore, DeadFilter, Enqueue, Enqueued, EventFilter, EventLog, EventPage, HeldLease, InboxRecord, InboxStore,
    Ingested, JobFilter, JobRecord, JobStore, KeyRoute, KnownAnswer, Moved, NewAudit, NewEvent, NewInbox, NewPayload,
    Owner, PayloadIndex, PayloadRecord, PayloadSweep, QueueStats, Record, RecordKind, RequestEntry, RequestLog,
    RouteKey, RouteOwner, Settled, Settlement, Store, StoreError, StoreInfo, Sweep,
};
use orchestrator_core::types::{
    AuditRecord, IdempotencyKey, InboxId, JobId, Name, PayloadId, RequestId, RequestView, Timestamp, WorkspaceId,
};

use crate::flaws::Flaws;
use crate::watcher::Watcher;

pub struct Observed {
    pub inner: Arc<dyn Store>,
    pub flaws: Flaws,
    pub watcher: Watcher,
}

#[async_trait]
impl Store for Observed {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.inner.attach(watch);
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    /// A node that ends leaves the store to the others.
    async fn close(&self) {}
}

#[async_trait]
impl ControlStore for Observed {
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError> {
        self.inner.commit(change).await
    }

    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        self.inner.record(owner, kind, key).await
    }

    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.inner.records(owner, kind, after, limit).await
    }

    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError> {
        self.inner.workspaces(after, limit).await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
        self.inner.changed_since(epoch).await
    }

    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError> {
        self.inner.routes(provider, key).await
    }

    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError> {
        self.inner.provider_routes(provider, limit).await
    }

    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
        self.inner.route_verified(workspace, route).await
    }

    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.inner.audit(owner, after, limit).await
    }
}

#[async_trait]
impl JobStore for Observed {
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        let jobs = enqueue.jobs.clone();
        let answer = self.flaws.enqueue(&*self.inner, workspace, enqueue).await?;
        self.watcher.enqueued(&jobs, &answer);
        Ok(answer)
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        let lease = claim.lease;
        let owner = claim.owner.clone();
        let claimed = self.flaws.claim(&*self.inner, claim).await?;
        self.watcher.claimed(&owner, &claimed, lease);
        Ok(claimed)
    }

    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError> {
        let lease = claim.lease;
        let owner = claim.owner.clone();
        let claimed = self.inner.claim_named(claim).await?;
        self.watcher.claimed(&owner, &claimed, lease);
        Ok(claimed)
    }

    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError> {
        self.inner.ready_heads(after, workspaces, each).await
    }

    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError> {
        let lost = self.inner.renew(held.clone(), lease).await?;
        self.watcher.renewed(&held, &lost, lease);
        Ok(lost)
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let asked = settlements.clone();
        let settled = self.flaws.settle(&*self.inner, settlements).await?;
        asked.iter().zip(&settled).for_each(|(end, settled)| self.watcher.settled(end, settled));
        Ok(settled)
    }

    async fn rescue(&self, owner: &str, lease: Duration, limit: usize) -> Result<(usize, Vec<ClaimedJob>), StoreError> {
        let (count, poisoned) = self.inner.rescue(owner, lease, limit).await?;
        self.watcher.rescued(owner, count, &poisoned, lease);
        Ok((count, poisoned))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError> {
        let cancelled = self.inner.cancel(workspace, job, event).await?;
        self.watcher.cancelled(job, &cancelled);
        Ok(cancelled)
    }

    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.inner.job(workspace, job).await
    }

    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.inner.jobs(workspace, filter, before, limit).await
    }

    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.inner.dead(workspace, filter, before, limit).await
    }

    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        let asked = jobs.clone();
        let moved = self.inner.replay(workspace, jobs, audit).await?;
        asked.iter().zip(&moved).for_each(|((id, _), moved)| self.watcher.replayed(*id, *moved));
        Ok(moved)
    }

    async fn purge(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<JobId>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        self.inner.purge(workspace, jobs, audit).await
    }

    async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        self.inner.queue_stats().await
    }
}

#[async_trait]
impl InboxStore for Observed {
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError> {
        let event_id = entry.event_id.clone();
        let answer = self.flaws.ingest(&*self.inner, workspace, entry).await?;
        self.watcher.ingested(&event_id, &answer);
        Ok(answer)
    }

    async fn inbox_entry(&self, workspace: &WorkspaceId, id: InboxId) -> Result<Option<InboxRecord>, StoreError> {
        self.inner.inbox_entry(workspace, id).await
    }

    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError> {
        self.inner.inbox(workspace, before, limit).await
    }

    async fn redeliver(&self, workspace: &WorkspaceId, id: InboxId, enqueue: Enqueue) -> Result<bool, StoreError> {
        self.inner.redeliver(workspace, id, enqueue).await
    }
}

#[async_trait]
impl EventLog for Observed {
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError> {
        self.inner.append(workspace, events).await
    }

    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let page = self.inner.events(workspace, after, filter, limit).await?;
        Ok(self.flaws.events(page))
    }

    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError> {
        self.inner.last_event(workspace).await
    }
}

#[async_trait]
impl RequestLog for Observed {
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError> {
        self.inner.begin(workspace, begin).await
    }

    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError> {
        self.inner.kept(workspace, route, key).await
    }

    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError> {
        self.inner.log(entries).await
    }

    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError> {
        self.inner.request_about(workspace, subject).await
    }

    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError> {
        self.inner.requests(workspace, subject, before, limit).await
    }

    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
        self.inner.sweep(sweep, limit).await
    }
}

#[async_trait]
impl PayloadIndex for Observed {
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError> {
        self.inner.add_payload(workspace, payload).await
    }

    async fn payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<Option<PayloadRecord>, StoreError> {
        self.inner.payload(workspace, id).await
    }

    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError> {
        self.inner.known_payloads(workspace, ids).await
    }

    async fn note_lost_payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<(), StoreError> {
        self.inner.note_lost_payload(workspace, id).await
    }

    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        self.inner.sweep_payloads(workspace, sweep, limit).await
    }
}
