//! Jobs: accepted, claimed under a lease and a fence, settled once.
//!
//! ```text
//!             enqueue                  claim (attempt+1, fence+1)
//!   ───────────────► queued ◄───────────────────────────► running
//!                      ▲  │   retry, give back (fence+1)     │  settle (fence must match)
//!               replay │  │ cancel                           ├────────► succeeded
//!             (fence+1)│  ▼                                  ├────────► dead ──purge──► gone
//!                      └─ dead / cancelled ◄─────────────────┘ cancel ► cancelled
//! ```
//!
//! A queued job is *ready* when its time has come and, if it has an ordering key, no earlier unfinished job has the same
//! one. Ready jobs of a workspace are taken by priority, then in the order of acceptance; workspaces are taken in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_types::{
    ErrorView, EventType, IdempotencyKey, JobId, JobStatus, Name, RequestView, Timestamp, TraceId, WorkspaceId,
};
use serde_json::json;

use super::control::NewAudit;
use super::error::StoreError;
use super::event::NewEvent;
use super::payload::PayloadLinks;
use crate::queue::JobHint;

/// A job that lost so many leases is taken for the cause: it dies with reason `poison`.
pub const MAX_LOST_LEASES: u32 = 3;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobKind {
    /// Calls a connector.
    Call,
    /// Delivers a webhook to the product.
    Webhook,
    /// Delivers the outcome of another job to the product.
    Callback,
}

impl JobKind {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "job",
            Self::Webhook => "webhook",
            Self::Callback => "callback",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Call, Self::Webhook, Self::Callback].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether its steps are `job.*` events. A callback's are the events of what it delivers.
    #[must_use]
    pub const fn has_events(self) -> bool {
        !matches!(self, Self::Callback)
    }
}

/// Where a job stands, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits: for its time, its turn, or a worker.
    Queued,
    /// Under a lease.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Dead,
    /// Cancelled.
    Cancelled,
}

impl JobState {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Succeeded, Self::Dead, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }
}

/// A job to be.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id, given by the caller: enqueueing it twice is once.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The connector, of a call.
    pub connector: Option<Name>,
    /// The operation.
    pub operation: String,
    /// The input of a call; the rendered body of a delivery. Kept as these bytes.
    pub input: Bytes,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// Not before; `None` is at once.
    pub run_at: Option<Timestamp>,
    /// How many attempts may begin.
    pub max_attempts: u32,
    /// Jobs of one key run one at a time, in the order of acceptance.
    pub ordering_key: Option<String>,
    /// The callback that the outcome goes to; of a delivery, the one that it is delivered to.
    pub callback: Option<Name>,
    /// Handed to the callback.
    pub metadata: BTreeMap<String, String>,
    /// Shortens the policy's total deadline.
    pub timeout: Option<Duration>,
    /// What it delivers or replays: the id of a job or inbox entry.
    pub subject: Option<String>,
    /// Of a delivery: its `webhook-id`, the same on each try.
    pub delivery_id: Option<String>,
    /// The trace.
    pub trace_id: TraceId,
    /// Its payloads, written with it. Empty when it is read.
    pub payloads: PayloadLinks,
}

impl NewJob {
    /// The event of its acceptance, for kinds that have events.
    #[must_use]
    pub fn queued_event(&self) -> Option<NewEvent> {
        self.kind.has_events().then(|| {
            NewEvent::new(
                EventType::JobQueued,
                self.id,
                self.trace_id,
                json!({"connector": self.connector, "operation": self.operation, "cause": self.subject}),
            )
        })
    }
}

/// A stored job.
#[derive(Debug, Clone)]
pub struct JobRecord {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// What was asked. `run_at` is the next time it may run.
    pub job: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// How many attempts have begun and counted.
    pub attempt: u32,
    /// Grows with each claim, give-back, cancel and replay; never reset.
    pub fence: u64,
    /// How often a lease ended unsettled.
    pub lost_leases: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it may run, or could.
    pub run_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What the operation answered, as JSON.
    pub output: Option<Bytes>,
    /// The last error.
    pub error: Option<ErrorView>,
    /// Why it died.
    pub dead_reason: Option<String>,
    /// The job that delivers its outcome.
    pub delivery: Option<JobId>,
}

impl JobRecord {
    /// Where it stands, as the contract tells it.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> JobStatus {
        match self.state {
            JobState::Queued if self.attempt > 0 => JobStatus::Retrying,
            JobState::Queued if self.run_at > now => JobStatus::Scheduled,
            JobState::Queued => JobStatus::Queued,
            JobState::Running => JobStatus::Running,
            JobState::Succeeded => JobStatus::Succeeded,
            JobState::Dead => JobStatus::Dead,
            JobState::Cancelled => JobStatus::Cancelled,
        }
    }

    /// The event of an attempt that begins, for kinds that have events.
    #[must_use]
    pub fn started_event(&self) -> Option<NewEvent> {
        self.job.kind.has_events().then(|| {
            NewEvent::new(
                EventType::JobStarted,
                self.job.id,
                self.job.trace_id,
                json!({"attempt": self.attempt, "max_attempts": self.job.max_attempts}),
            )
        })
    }

    /// The event of a lease that was lost and will be tried again, for kinds that have events.
    #[must_use]
    pub fn lost_lease_event(&self) -> Option<NewEvent> {
        self.job.kind.has_events().then(|| {
            NewEvent::new(
                EventType::JobRetrying,
                self.job.id,
                self.job.trace_id,
                json!({"attempt": self.attempt, "reason": "lost_lease", "lost_leases": self.lost_leases}),
            )
        })
    }
}

/// The answer that is kept for an idempotency key, written with the jobs.
#[derive(Debug, Clone)]
pub struct IdempotentAnswer {
    /// The key.
    pub key: IdempotencyKey,
    /// SHA-256 of the request's body.
    pub request_hash: [u8; 32],
    /// What the same request gets again.
    pub answer: Bytes,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Jobs to accept: all or none.
#[derive(Debug, Clone, Default)]
pub struct Enqueue {
    /// The jobs.
    pub jobs: Vec<NewJob>,
    /// The idempotency key of the request, scoped to the workspace and to `/jobs`.
    pub idempotency: Option<IdempotentAnswer>,
    /// Appended to the workspace's audit chain.
    pub audit: Option<NewAudit>,
    /// Appended before the jobs' own `job.queued`.
    pub events: Vec<NewEvent>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// The jobs are durable.
    Accepted,
    /// The key was used with the same request: this was its answer. Nothing was enqueued.
    Replayed(Bytes),
    /// The key was used with another request. Nothing was enqueued.
    Mismatch,
}

/// Jobs of a workspace that share a policy: those of one connector, or of one callback.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Whether they are deliveries to a callback.
    pub delivery: bool,
    /// The connector's or callback's name.
    pub target: Name,
}

/// What a worker wants to run.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The worker; unique for each start of a process.
    pub owner: String,
    /// At most so many.
    pub max: usize,
    /// At most so many of one workspace.
    pub per_workspace: usize,
    /// How long the worker may go without renewing, by the store's clock.
    pub lease: Duration,
    /// `false`: jobs that never lost a lease. `true`: one that did, to be run alone.
    pub quarantine: bool,
    /// Lanes that would not admit a call now.
    pub paused: Vec<LaneKey>,
    /// Lanes that would admit only so many: no more of them are taken.
    pub limited: Vec<(LaneKey, usize)>,
    /// Workspaces that have as many running as they may.
    pub full: Vec<WorkspaceId>,
}

/// The jobs that a worker wants to run because it was hinted at them.
#[derive(Debug, Clone)]
pub struct ClaimNamed {
    /// The worker; unique for each start of a process.
    pub owner: String,
    /// How long the worker may go without renewing, by the store's clock.
    pub lease: Duration,
    /// The jobs, each with its tenant.
    pub jobs: Vec<(WorkspaceId, JobId)>,
}

/// A job under a lease. Its attempt has been counted.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// The job; its `fence` is the lease's.
    pub record: JobRecord,
}

/// A lease that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldLease {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The job.
    pub job: JobId,
    /// The fence of the claim.
    pub fence: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Done.
    Succeeded {
        /// What the operation answered, as JSON.
        output: Option<Bytes>,
    },
    /// Again, at a later time.
    Retry {
        /// Not before.
        run_at: Timestamp,
        /// Why.
        error: ErrorView,
    },
    /// Given up.
    Dead {
        /// `exhausted`, `rejected`, `poison`, …
        reason: String,
        /// The last error.
        error: ErrorView,
    },
    /// Not tried: a limit, a drain. The attempt is not consumed, the fence grows all the same.
    GiveBack {
        /// Not before; `None` is at once.
        run_at: Option<Timestamp>,
    },
}

/// The end of an attempt, and what it causes: one transaction, written only if the fence is still the job's.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The lease.
    pub lease: HeldLease,
    /// How it ended.
    pub outcome: Outcome,
    /// Appended to the workspace's events.
    pub events: Vec<NewEvent>,
    /// The request log's record of the attempt.
    pub request: Option<RequestView>,
    /// The delivery of the outcome; noted as the job's `delivery`.
    pub delivery: Option<NewJob>,
    /// The job's further payloads: those of its output.
    pub payloads: PayloadLinks,
}

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Applied,
    /// The fence was another: nothing was written.
    Stale,
    /// The store refuses this row: nothing was written.
    Refused(String),
}

/// What became of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled; if it was running, its settlement will be stale.
    Done,
    /// It had ended.
    Ended(JobState),
    /// There is no such job.
    NotFound,
}

/// What became of one id of a replay or purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It was moved, by this call.
    Done,
    /// It is not dead.
    NotDead,
    /// There is no such job.
    NotFound,
}

/// Which jobs of a list. Newest first. Callbacks are not listed: they belong to what they deliver.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Standing so.
    pub status: Option<JobStatus>,
    /// Of this connector.
    pub connector: Option<Name>,
}

/// Which dead letters, of every kind.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// Of this connector.
    pub connector: Option<Name>,
    /// Of this callback.
    pub callback: Option<Name>,
    /// Dead before.
    pub died_before: Option<Timestamp>,
    /// Dead after.
    pub died_after: Option<Timestamp>,
}

/// How the queue stands, over all workspaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Ready to run.
    pub ready: u64,
    /// Waiting for their time or turn.
    pub waiting: u64,
    /// Under a lease.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long the oldest ready job has been ready.
    pub oldest_ready: Duration,
    /// How long the longest expired lease has been expired.
    pub oldest_expired_lease: Duration,
}

/// Jobs.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Accepts jobs, with their `job.queued` events ([`NewJob::queued_event`]).
    /// A job whose id is there already is skipped, with its event: repeating a call is harmless.
    ///
    /// # Errors
    /// The store did not accept them: none of them.
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError>;

    /// Takes ready jobs, fair over workspaces (in turn, from where the last claim stopped): attempt and fence grow and
    /// `job.started` is written ([`JobRecord::started_event`]) before any work can start.
    ///
    /// # Errors
    /// The store does not answer. If the answer was lost the leases end by themselves.
    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError>;

    /// Takes the jobs that are named and ready, in the order of their naming, as [`claim`](Self::claim) does: attempt and fence
    /// grow and `job.started` is written. What is not there, is another workspace's, is not ready, runs, has ended or ever
    /// lost a lease is skipped without a word.
    ///
    /// # Errors
    /// The store does not answer. If the answer was lost the leases end by themselves.
    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError>;

    /// Names jobs that are ready and that nobody runs, for whoever offers them again: of up to `workspaces` workspaces that
    /// have any, in the order of their names from after `after`, the first `each` of each lane, in the order of taking.
    /// Those that ever lost a lease are left out. A duty of the install, over all workspaces; empty at the end.
    ///
    /// # Errors
    /// The store does not answer.
    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError>;

    /// Prolongs leases to `lease` from now; answers those that are lost (the fence is another).
    ///
    /// # Errors
    /// The store does not answer.
    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError>;

    /// Writes the ends of attempts, each on its own: a stale or refused one does not touch the others.
    ///
    /// # Errors
    /// The store does not answer; none or all may be written.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError>;

    /// Makes up to `limit` jobs whose lease has ended ready again (`lost_leases` + 1, fence + 1, and
    /// [`JobRecord::lost_lease_event`]). Those that have now lost [`MAX_LOST_LEASES`] are instead claimed for `owner`
    /// under a fresh lease without a new attempt and handed out, to be settled as dead.
    /// Answers how many were made ready, and those.
    ///
    /// # Errors
    /// The store does not answer.
    async fn rescue(&self, owner: &str, lease: Duration, limit: usize) -> Result<(usize, Vec<ClaimedJob>), StoreError>;

    /// When the next waiting job's time comes, over all workspaces; `None` if none waits for a time.
    ///
    /// # Errors
    /// The store does not answer.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Cancels a job that has not ended, with `event`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError>;

    /// One job.
    ///
    /// # Errors
    /// The store does not answer.
    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// Up to `limit` jobs, newest first, older than `before`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError>;

    /// Up to `limit` dead letters, newest first by id, older than `before`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError>;

    /// Makes dead jobs queued again: attempts from zero, lost leases from zero, fence + 1, at the given times (one per
    /// id; `None` is at once), with `job.replayed` for each moved and one audit record if any was.
    ///
    /// # Errors
    /// The store does not answer; nothing moved.
    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError>;

    /// Removes dead jobs for good, with `job.purged` for each moved and one audit record if any was.
    ///
    /// # Errors
    /// The store does not answer; nothing moved.
    async fn purge(&self, workspace: &WorkspaceId, jobs: Vec<JobId>, audit: NewAudit)
    -> Result<Vec<Moved>, StoreError>;

    /// How the queue stands.
    ///
    /// # Errors
    /// The store does not answer.
    async fn queue_stats(&self) -> Result<QueueStats, StoreError>;
}
