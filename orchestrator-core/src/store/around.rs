//! A store with something around each of its calls: a deadline, a measurement, a fault.
//!
//! One rule: what stands around a call decides whether and when it is made and what is heard of it, and knows nothing of what
//! the call says.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orchestrator_types::{
    AuditRecord, IdempotencyKey, InboxId, JobId, Name, PayloadId, RequestId, RequestView, Timestamp, WorkspaceId,
};

use super::{
    Begin, Begun, Cancelled, Claim, ClaimNamed, ClaimedJob, CommitError, CommitWatch, Committed, ControlChange,
    ControlStore, DeadFilter, Enqueue, Enqueued, EventFilter, EventLog, EventPage, HeldLease, InboxRecord, InboxStore,
    Ingested, JobFilter, JobRecord, JobStore, KeyRoute, KnownAnswer, Moved, NewAudit, NewEvent, NewInbox, NewPayload,
    Owner, PayloadIndex, PayloadRecord, PayloadSweep, QueueStats, Record, RecordKind, RequestEntry, RequestLog,
    RouteKey, RouteOwner, Settled, Settlement, Store, StoreError, StoreInfo, Sweep,
};
use crate::queue::JobHint;

/// A call of a store on its way.
pub type StoreCall<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What stands around each call of a store.
#[async_trait]
pub trait AroundCall: Send + Sync + 'static {
    /// Makes a call of this method, or does not, and says what is heard of it.
    ///
    /// # Errors
    /// What the call answers, or what is said instead.
    async fn around<T: Send + 'static>(&self, method: &'static str, call: StoreCall<'_, T>) -> Result<T, StoreError>;

    /// What hears of commits in the place of `watch`.
    fn watch(&self, watch: Arc<dyn CommitWatch>) -> Arc<dyn CommitWatch> {
        watch
    }
}

/// A store with something around each of its calls. [`info`](Store::info) and [`close`](Store::close) are the store's own.
pub struct Around<A> {
    inner: Arc<dyn Store>,
    around: A,
}

impl<A: AroundCall> Around<A> {
    /// Puts `around` around the calls of a store.
    pub fn new(inner: Arc<dyn Store>, around: A) -> Self {
        Self { inner, around }
    }

    /// The store within.
    pub fn get_ref(&self) -> &Arc<dyn Store> {
        &self.inner
    }
}

#[async_trait]
impl<A: AroundCall> Store for Around<A> {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.inner.attach(self.around.watch(watch));
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.around.around("now", self.inner.now()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.around.around("ping", self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl<A: AroundCall> ControlStore for Around<A> {
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError> {
        // A change that is refused was answered: only a store that did not do it is a failure of the call.
        let call = self.inner.commit(change).map(|answer| match answer {
            Err(CommitError::Store(error)) => Err(error),
            answer => Ok(answer),
        });
        self.around.around("commit", call.boxed()).await?
    }

    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        self.around.around("record", self.inner.record(owner, kind, key)).await
    }

    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.around.around("records", self.inner.records(owner, kind, after, limit)).await
    }

    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError> {
        self.around.around("workspaces", self.inner.workspaces(after, limit)).await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
        self.around.around("changed_since", self.inner.changed_since(epoch)).await
    }

    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError> {
        self.around.around("routes", self.inner.routes(provider, key)).await
    }

    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError> {
        self.around.around("provider_routes", self.inner.provider_routes(provider, limit)).await
    }

    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
        self.around.around("route_verified", self.inner.route_verified(workspace, route)).await
    }

    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.around.around("audit", self.inner.audit(owner, after, limit)).await
    }
}

#[async_trait]
impl<A: AroundCall> JobStore for Around<A> {
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        self.around.around("enqueue", self.inner.enqueue(workspace, enqueue)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        self.around.around("claim", self.inner.claim(claim)).await
    }

    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError> {
        self.around.around("claim_named", self.inner.claim_named(claim)).await
    }

    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError> {
        self.around.around("ready_heads", self.inner.ready_heads(after, workspaces, each)).await
    }

    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError> {
        self.around.around("renew", self.inner.renew(held, lease)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.around.around("settle", self.inner.settle(settlements)).await
    }

    async fn rescue(&self, owner: &str, lease: Duration, limit: usize) -> Result<(usize, Vec<ClaimedJob>), StoreError> {
        self.around.around("rescue", self.inner.rescue(owner, lease, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.around.around("next_due", self.inner.next_due()).await
    }

    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError> {
        self.around.around("cancel", self.inner.cancel(workspace, job, event)).await
    }

    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.around.around("job", self.inner.job(workspace, job)).await
    }

    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.around.around("jobs", self.inner.jobs(workspace, filter, before, limit)).await
    }

    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.around.around("dead", self.inner.dead(workspace, filter, before, limit)).await
    }

    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        self.around.around("replay", self.inner.replay(workspace, jobs, audit)).await
    }

    async fn purge(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<JobId>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        self.around.around("purge", self.inner.purge(workspace, jobs, audit)).await
    }

    async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        self.around.around("queue_stats", self.inner.queue_stats()).await
    }
}

#[async_trait]
impl<A: AroundCall> InboxStore for Around<A> {
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError> {
        self.around.around("ingest", self.inner.ingest(workspace, entry)).await
    }

    async fn inbox_entry(&self, workspace: &WorkspaceId, id: InboxId) -> Result<Option<InboxRecord>, StoreError> {
        self.around.around("inbox_entry", self.inner.inbox_entry(workspace, id)).await
    }

    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError> {
        self.around.around("inbox", self.inner.inbox(workspace, before, limit)).await
    }

    async fn redeliver(&self, workspace: &WorkspaceId, id: InboxId, enqueue: Enqueue) -> Result<bool, StoreError> {
        self.around.around("redeliver", self.inner.redeliver(workspace, id, enqueue)).await
    }
}

#[async_trait]
impl<A: AroundCall> EventLog for Around<A> {
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError> {
        self.around.around("append", self.inner.append(workspace, events)).await
    }

    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        self.around.around("events", self.inner.events(workspace, after, filter, limit)).await
    }

    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError> {
        self.around.around("last_event", self.inner.last_event(workspace)).await
    }
}

#[async_trait]
impl<A: AroundCall> RequestLog for Around<A> {
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError> {
        self.around.around("begin", self.inner.begin(workspace, begin)).await
    }

    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError> {
        self.around.around("kept", self.inner.kept(workspace, route, key)).await
    }

    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError> {
        self.around.around("log", self.inner.log(entries)).await
    }

    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError> {
        self.around.around("request_about", self.inner.request_about(workspace, subject)).await
    }

    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError> {
        self.around.around("requests", self.inner.requests(workspace, subject, before, limit)).await
    }

    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
        self.around.around("sweep", self.inner.sweep(sweep, limit)).await
    }
}

#[async_trait]
impl<A: AroundCall> PayloadIndex for Around<A> {
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError> {
        self.around.around("add_payload", self.inner.add_payload(workspace, payload)).await
    }

    async fn payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<Option<PayloadRecord>, StoreError> {
        self.around.around("payload", self.inner.payload(workspace, id)).await
    }

    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError> {
        self.around.around("known_payloads", self.inner.known_payloads(workspace, ids)).await
    }

    async fn note_lost_payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<(), StoreError> {
        self.around.around("note_lost_payload", self.inner.note_lost_payload(workspace, id)).await
    }

    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        self.around.around("sweep_payloads", self.inner.sweep_payloads(workspace, sweep, limit)).await
    }
}
