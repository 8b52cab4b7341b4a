//! Stores that break a promise, each another one: the oracle must find out each of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use orchestrator_core::store::{
    Claim, ClaimedJob, Enqueue, Enqueued, EventPage, Ingested, NewInbox, Outcome, Settled, Settlement, Store,
    StoreError,
};
use orchestrator_core::types::WorkspaceId;

/// A promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A settlement counts whatever its fence is.
    ForgetsFences,
    /// Some events are not there.
    LosesEvents,
    /// Some jobs are handed out a second time.
    HandsOutTwice,
    /// Some jobs are acknowledged and not kept.
    LosesJobs,
    /// The same event is new each time.
    ForgetsWebhooks,
    /// Ordering keys are not kept.
    ForgetsOrder,
    /// The same request is new each time.
    ForgetsKeys,
    /// Some settlements are acknowledged and not written.
    LosesSettlements,
    /// Some ends are written without their event.
    KeepsEndsToItself,
    /// What is delivered changes from try to try.
    ChangesBodies,
    /// Jobs that wait for a time wait ten minutes more.
    LosesTime,
}

impl Flaw {
    pub const ALL: [Self; 11] = [
        Self::ForgetsFences,
        Self::LosesEvents,
        Self::HandsOutTwice,
        Self::LosesJobs,
        Self::ForgetsWebhooks,
        Self::ForgetsOrder,
        Self::ForgetsKeys,
        Self::LosesSettlements,
        Self::KeepsEndsToItself,
        Self::ChangesBodies,
        Self::LosesTime,
    ];
}

/// The flaw of a store, if it has one.
pub struct Flaws {
    flaw: Option<Flaw>,
    count: AtomicU64,
    handed_out: Mutex<Option<ClaimedJob>>,
}

impl Flaws {
    pub fn new(flaw: Option<Flaw>) -> Self {
        Self { flaw, count: AtomicU64::new(0), handed_out: Mutex::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Whether it shows this time: each fifth.
    fn shows(&self, flaw: Flaw) -> bool {
        self.has(flaw) && self.count.fetch_add(1, Ordering::SeqCst) % 5 == 4
    }

    pub async fn enqueue(
        &self,
        store: &dyn Store,
        workspace: &WorkspaceId,
        mut enqueue: Enqueue,
    ) -> Result<Enqueued, StoreError> {
        if self.shows(Flaw::LosesJobs) {
            return Ok(Enqueued::Accepted);
        }
        if self.has(Flaw::ForgetsKeys) {
            enqueue.idempotency = None;
        }
        if self.has(Flaw::ForgetsOrder) {
            enqueue.jobs.iter_mut().for_each(|job| job.ordering_key = None);
        }
        store.enqueue(workspace, enqueue).await
    }

    pub async fn claim(&self, store: &dyn Store, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        let mut claimed = store.claim(claim).await?;
        if self.has(Flaw::HandsOutTwice) {
            let again = std::mem::replace(&mut *self.handed_out.lock().unwrap(), claimed.first().cloned());
            claimed.extend(again.filter(|again| claimed.iter().all(|job| job.record.job.id != again.record.job.id)));
        }
        if self.has(Flaw::ChangesBodies) {
            for job in claimed.iter_mut().filter(|job| job.record.job.callback.is_some()) {
                let tried = format!("{{\"try\":{}}}", job.record.fence);
                if job.record.job.delivery_id.is_some() {
                    job.record.job.input = tried.into();
                }
            }
        }
        Ok(claimed)
    }

    pub async fn settle(&self, store: &dyn Store, mut ends: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        if self.shows(Flaw::LosesSettlements) {
            return Ok(vec![Settled::Applied; ends.len()]);
        }
        for end in &mut ends {
            if self.has(Flaw::ForgetsFences)
                && let Some(record) = store.job(&end.lease.workspace, end.lease.job).await?
            {
                end.lease.fence = record.fence;
            }
            if self.shows(Flaw::KeepsEndsToItself) {
                end.events.clear();
            }
            if let Outcome::Retry { run_at, .. } = &mut end.outcome
                && self.has(Flaw::LosesTime)
            {
                *run_at = run_at.after(std::time::Duration::from_secs(600));
            }
        }
        store.settle(ends).await
    }

    pub async fn ingest(
        &self,
        store: &dyn Store,
        workspace: &WorkspaceId,
        mut entry: NewInbox,
    ) -> Result<Ingested, StoreError> {
        if self.has(Flaw::ForgetsWebhooks) {
            entry.event_id = format!("{}#{}", entry.event_id, self.count.fetch_add(1, Ordering::SeqCst));
        }
        store.ingest(workspace, entry).await
    }

    pub fn events(&self, mut page: EventPage) -> EventPage {
        if self.has(Flaw::LosesEvents) {
            page.items.retain(|event| event.id.sequence() % 5 != 4);
        }
        page
    }
}
