//! Who repeats what failed, until it answers: the same call with the same ids, keys and fences.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{
    Begin, Begun, Cancelled, Claim, ClaimNamed, ClaimedJob, CommitError, CommitWatch, Committed, ControlChange,
    ControlStore, DeadFilter, Enqueue, Enqueued, EventFilter, EventLog, EventPage, Expect, HeldLease, InboxRecord,
    InboxStore, Ingested, JobFilter, JobRecord, JobState, JobStore, KeyRoute, KnownAnswer, Moved, NewAudit, NewEvent,
    NewInbox, NewPayload, Owner, PayloadIndex, PayloadRecord, PayloadSweep, QueueStats, Record, RecordKind,
    RequestEntry, RequestLog, RouteKey, RouteOwner, Settled, Settlement, Store, StoreError, StoreInfo, Sweep,
};
use orchestrator_core::types::{
    AuditRecord, IdempotencyKey, InboxId, JobId, Name, PayloadId, RequestId, RequestView, Timestamp, WorkspaceId,
};

use super::caller::{Caller, Repeat};

/// A store that does not answer so often is away.
const TRIES: u32 = 100;

/// A store whose calls are repeated while the answer is that it is not available.
///
/// Over a [`FaultyStore`](super::FaultyStore) it is what a careful caller is: it hears the truth at last, and what it repeated
/// has changed nothing more. What a repeated call answers is not always what the first one did; where they may differ, both are
/// compared by what the ports say, and the first one's answer is what counts:
///
/// | method | the first says | the second says |
/// |---|---|---|
/// | `enqueue` under an idempotency key | accepted | replayed, with the very answer |
/// | `settle` | applied | stale |
/// | `cancel` | done | ended: cancelled |
/// | `replay`, `purge` | done | not dead, or not found |
/// | `commit` that changes what it expects | committed | conflict |
/// | all others that are repeated | something | the same |
///
/// Some cannot be repeated, and of these an injected fault leaves only calls that were not made:
///
/// - `claim`, `claim_named` and `rescue`: a lost answer is a lost lease. It ends by itself; a second claim takes other jobs.
/// - `append`: events have no key. What must be told once is told in the transaction of what it tells.
/// - `commit` without an expectation of what it writes: it writes again.
/// - `sweep` and `sweep_payloads`: a second one goes on where the first one ended.
/// - `ingest` of a duplicate: arrivals are counted, and a second call is a second arrival.
pub struct RetryingStore {
    inner: Arc<dyn Store>,
}

impl RetryingStore {
    /// Repeats what fails of a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }

    /// Repeats a call of which every answer is the answer.
    async fn again<T, F>(&self, repeat: Repeat, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
        T: 'static,
    {
        repeated(&Caller::new(repeat), call).await
    }

    /// Repeats a call of which the first answer counts, if there was one that was not heard; `done` says whether the second
    /// one may follow on it.
    async fn once<T, F>(
        &self,
        method: &str,
        repeat: Repeat,
        done: impl Fn(&T, &T) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
        T: std::fmt::Debug + 'static,
    {
        let caller = Caller::new(repeat);
        let second = repeated(&caller, call).await?;
        let Some(first) = caller.found::<T>() else { return Ok(second) };
        assert!(done(&first, &second), "`{method}` answered {first:?}, and when it was repeated {second:?}");
        Ok(first)
    }
}

async fn repeated<T, F>(caller: &Arc<Caller>, call: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match caller.make(call()).await {
            None if tries < TRIES => {}
            None => return Err(StoreError::unavailable("it never answers")),
            Some(Err(StoreError::Unavailable(_))) if tries < TRIES => tokio::task::yield_now().await,
            Some(answer) => return answer,
        }
    }
}

/// Whether a change that was made cannot be made again: one of its writes would find another version than it expects.
fn changes_what_it_expects(change: &ControlChange) -> bool {
    change.writes.iter().any(|write| match write.expect {
        Expect::Any => false,
        Expect::Absent => write.body.is_some(),
        Expect::Version(_) => true,
    })
}

#[async_trait]
impl Store for RetryingStore {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.inner.attach(watch);
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.again(Repeat::Freely, || self.inner.now()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.again(Repeat::Freely, || self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl ControlStore for RetryingStore {
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError> {
        let repeat = if changes_what_it_expects(&change) { Repeat::Answered } else { Repeat::Undone };
        let done = |first: &Result<Committed, CommitError>, second: &Result<Committed, CommitError>| match first {
            Ok(_) => matches!(second, Err(CommitError::Conflict { .. })),
            Err(_) => true,
        };
        let call = || async {
            match self.inner.commit(change.clone()).await {
                Err(CommitError::Store(error)) => Err(error),
                answer => Ok(answer),
            }
        };
        self.once("commit", repeat, done, call).await?
    }

    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        self.again(Repeat::Freely, || self.inner.record(owner, kind, key)).await
    }

    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.again(Repeat::Freely, || self.inner.records(owner, kind, after, limit)).await
    }

    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError> {
        self.again(Repeat::Freely, || self.inner.workspaces(after, limit)).await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
        self.again(Repeat::Freely, || self.inner.changed_since(epoch)).await
    }

    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError> {
        self.again(Repeat::Freely, || self.inner.routes(provider, key)).await
    }

    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError> {
        self.again(Repeat::Freely, || self.inner.provider_routes(provider, limit)).await
    }

    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
        self.again(Repeat::Freely, || self.inner.route_verified(workspace, route)).await
    }

    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.audit(owner, after, limit)).await
    }
}

#[async_trait]
impl JobStore for RetryingStore {
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        let Some(kept) = &enqueue.idempotency else {
            return self.again(Repeat::Freely, || self.inner.enqueue(workspace, enqueue.clone())).await;
        };
        let own = Enqueued::Replayed(kept.answer.clone());
        let done = |first: &Enqueued, second: &Enqueued| match first {
            Enqueued::Accepted => *second == own,
            first => first == second,
        };
        let call = || self.inner.enqueue(workspace, enqueue.clone());
        self.once("enqueue", Repeat::Answered, done, call).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        self.again(Repeat::Undone, || self.inner.claim(claim.clone())).await
    }

    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError> {
        self.again(Repeat::Undone, || self.inner.claim_named(claim.clone())).await
    }

    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError> {
        self.again(Repeat::Freely, || self.inner.ready_heads(after, workspaces, each)).await
    }

    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError> {
        self.again(Repeat::Freely, || self.inner.renew(held.clone(), lease)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let done = |first: &Vec<Settled>, second: &Vec<Settled>| {
            first.len() == second.len() && second.iter().all(|settled| *settled != Settled::Applied)
        };
        let call = || self.inner.settle(settlements.clone());
        self.once("settle", Repeat::Answered, done, call).await
    }

    async fn rescue(&self, owner: &str, lease: Duration, limit: usize) -> Result<(usize, Vec<ClaimedJob>), StoreError> {
        self.again(Repeat::Undone, || self.inner.rescue(owner, lease, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.again(Repeat::Freely, || self.inner.next_due()).await
    }

    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError> {
        let done = |first: &Cancelled, second: &Cancelled| match first {
            Cancelled::Done => *second == Cancelled::Ended(JobState::Cancelled),
            first => first == second,
        };
        let call = || self.inner.cancel(workspace, job, event.clone());
        self.once("cancel", Repeat::Answered, done, call).await
    }

    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.job(workspace, job)).await
    }

    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.jobs(workspace, filter, before, limit)).await
    }

    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.dead(workspace, filter, before, limit)).await
    }

    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        let done = |_: &Vec<Moved>, second: &Vec<Moved>| !second.contains(&Moved::Done);
        let call = || self.inner.replay(workspace, jobs.clone(), audit.clone());
        self.once("replay", Repeat::Answered, done, call).await
    }

    async fn purge(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<JobId>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        let done = |_: &Vec<Moved>, second: &Vec<Moved>| !second.contains(&Moved::Done);
        let call = || self.inner.purge(workspace, jobs.clone(), audit.clone());
        self.once("purge", Repeat::Answered, done, call).await
    }

    async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        self.again(Repeat::Freely, || self.inner.queue_stats()).await
    }
}

#[async_trait]
impl InboxStore for RetryingStore {
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError> {
        let counted = |answer: &dyn Any| matches!(answer.downcast_ref(), Some(Ingested::Duplicate { .. }));
        let done = |first: &Ingested, second: &Ingested| first == second;
        let call = || self.inner.ingest(workspace, entry.clone());
        self.once("ingest", Repeat::AnsweredUnless(counted), done, call).await
    }

    async fn inbox_entry(&self, workspace: &WorkspaceId, id: InboxId) -> Result<Option<InboxRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.inbox_entry(workspace, id)).await
    }

    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.inbox(workspace, before, limit)).await
    }

    async fn redeliver(&self, workspace: &WorkspaceId, id: InboxId, enqueue: Enqueue) -> Result<bool, StoreError> {
        self.again(Repeat::Freely, || self.inner.redeliver(workspace, id, enqueue.clone())).await
    }
}

#[async_trait]
impl EventLog for RetryingStore {
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError> {
        self.again(Repeat::Undone, || self.inner.append(workspace, events.clone())).await
    }

    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        self.again(Repeat::Freely, || self.inner.events(workspace, after, filter, limit)).await
    }

    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError> {
        self.again(Repeat::Freely, || self.inner.last_event(workspace)).await
    }
}

#[async_trait]
impl RequestLog for RetryingStore {
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError> {
        self.again(Repeat::Freely, || self.inner.begin(workspace, begin.clone())).await
    }

    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError> {
        self.again(Repeat::Freely, || self.inner.kept(workspace, route, key)).await
    }

    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError> {
        self.again(Repeat::Freely, || self.inner.log(entries.clone())).await
    }

    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError> {
        self.again(Repeat::Freely, || self.inner.request_about(workspace, subject)).await
    }

    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError> {
        self.again(Repeat::Freely, || self.inner.requests(workspace, subject, before, limit)).await
    }

    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
        self.again(Repeat::Undone, || self.inner.sweep(sweep.clone(), limit)).await
    }
}

#[async_trait]
impl PayloadIndex for RetryingStore {
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError> {
        self.again(Repeat::Freely, || self.inner.add_payload(workspace, payload.clone())).await
    }

    async fn payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<Option<PayloadRecord>, StoreError> {
        self.again(Repeat::Freely, || self.inner.payload(workspace, id)).await
    }

    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError> {
        self.again(Repeat::Freely, || self.inner.known_payloads(workspace, ids)).await
    }

    async fn note_lost_payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<(), StoreError> {
        self.again(Repeat::Freely, || self.inner.note_lost_payload(workspace, id)).await
    }

    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        self.again(Repeat::Undone, || self.inner.sweep_payloads(workspace, sweep, limit)).await
    }
}
