//! The inbox in memory: entries by id, and what deduplicates them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_types::{InboxId, Name, Timestamp, WorkspaceId};

use super::{MemoryStore, State, Transaction};
use crate::store::{
    Enqueue, InboxRecord, InboxStore, Ingested, JobRecord, NewInbox, PayloadLinks, StoreError, delivering,
};

#[derive(Default)]
pub(super) struct Inbox {
    entries: BTreeMap<WorkspaceId, BTreeMap<InboxId, InboxRecord>>,
    known: HashMap<Known, InboxId>,
}

/// What makes an event the same event.
#[derive(PartialEq, Eq, Hash)]
struct Known {
    workspace: WorkspaceId,
    provider: Name,
    sender: String,
    event_id: String,
}

impl Known {
    fn of(workspace: &WorkspaceId, entry: &NewInbox) -> Self {
        Self {
            workspace: workspace.clone(),
            provider: entry.provider.clone(),
            sender: entry.sender(),
            event_id: entry.event_id.clone(),
        }
    }
}

impl Inbox {
    fn entry(&self, workspace: &WorkspaceId, id: InboxId) -> Option<&InboxRecord> {
        self.entries.get(workspace)?.get(&id)
    }

    fn entry_mut(&mut self, workspace: &WorkspaceId, id: InboxId) -> Option<&mut InboxRecord> {
        self.entries.get_mut(workspace)?.get_mut(&id)
    }

    /// The entry that has this event already, counted once more.
    fn again(&mut self, workspace: &WorkspaceId, new: &NewInbox) -> Option<Ingested> {
        let id = *self.known.get(&Known::of(workspace, new))?;
        let record = self.entry_mut(workspace, id)?;
        if id == new.id {
            // The very call again, because its answer was lost: it was new.
            return Some(Ingested::New);
        }
        record.duplicates += 1;
        let conflict = record.entry.body_hash != new.body_hash;
        Some(Ingested::Duplicate { id, conflict, count: record.duplicates })
    }

    fn page(&self, workspace: &WorkspaceId, before: Option<InboxId>, limit: usize) -> Vec<InboxRecord> {
        let Some(entries) = self.entries.get(workspace) else { return Vec::new() };
        let older = entries.iter().rev().filter(|(id, _)| before.is_none_or(|before| **id < before));
        older.take(limit).map(|(_, record)| without_content(record)).collect()
    }
}

impl State {
    /// Whether nothing is left to do for an entry: a job that is gone has ended too.
    fn delivered(&self, workspace: &WorkspaceId, record: &InboxRecord) -> bool {
        let job = record.job.and_then(|job| self.jobs.record(workspace, job));
        job.is_none_or(|job| job.state.is_terminal())
    }

    /// Notes that the delivery of an entry was purged.
    pub(super) fn give_up(&mut self, workspace: &WorkspaceId, job: &JobRecord) {
        let entry = job.job.subject.as_ref().and_then(|subject| subject.parse().ok());
        let record = entry.and_then(|id| self.inbox.entry_mut(workspace, id));
        if let Some(record) = record.filter(|record| record.job == Some(job.job.id)) {
            record.given_up = true;
        }
    }

    /// Up to `limit` ended entries taken in before `before`.
    fn old_entries(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
        limit: usize,
        wanted: impl Fn(&InboxRecord) -> bool,
    ) -> Vec<InboxId> {
        let Some(entries) = self.inbox.entries.get(workspace) else { return Vec::new() };
        let old = entries.iter().filter(|(_, record)| record.entry.received_at < before && wanted(record));
        old.filter(|(_, record)| self.delivered(workspace, record)).take(limit).map(|(id, _)| *id).collect()
    }

    /// Removes the bodies of ended entries taken in before `before`. What deduplicates stays.
    pub(super) fn sweep_bodies(&mut self, workspace: &WorkspaceId, before: Timestamp, limit: usize) -> usize {
        let old = self.old_entries(workspace, before, limit, |record| record.body_kept);
        for id in &old {
            if let Some(record) = self.inbox.entry_mut(workspace, *id) {
                record.body_kept = false;
                record.entry.body = Bytes::new();
            }
            self.payloads.unlink(workspace, id);
        }
        old.len()
    }

    /// Removes ended entries taken in before `before`, with what deduplicates them.
    pub(super) fn sweep_tombstones(&mut self, workspace: &WorkspaceId, before: Timestamp, limit: usize) -> usize {
        let old = self.old_entries(workspace, before, limit, |_| true);
        for id in &old {
            let gone = self.inbox.entries.get_mut(workspace).and_then(|entries| entries.remove(id));
            if let Some(record) = gone {
                self.inbox.known.remove(&Known::of(workspace, &record.entry));
            }
            self.payloads.unlink(workspace, id);
        }
        old.len()
    }
}

fn without_content(record: &InboxRecord) -> InboxRecord {
    let shown = &record.entry;
    InboxRecord {
        entry: NewInbox {
            id: shown.id,
            provider: shown.provider.clone(),
            route: shown.route.clone(),
            account: shown.account.clone(),
            event_id: shown.event_id.clone(),
            event_type: shown.event_type.clone(),
            headers: BTreeMap::new(),
            body: Bytes::new(),
            body_payload: None,
            body_hash: shown.body_hash,
            received_at: shown.received_at,
            trace_id: shown.trace_id,
            events: Vec::new(),
            jobs: Vec::new(),
            payloads: PayloadLinks::default(),
        },
        ..*record
    }
}

fn ingest(
    transaction: &mut Transaction<'_>,
    workspace: &WorkspaceId,
    mut entry: NewInbox,
) -> Result<Ingested, StoreError> {
    if let Some(known) = transaction.state.inbox.again(workspace, &entry) {
        return Ok(known);
    }
    if transaction.state.inbox.entry(workspace, entry.id).is_some() {
        return Err(StoreError::Refused("another event has this id".to_owned()));
    }
    let (events, jobs) = (std::mem::take(&mut entry.events), std::mem::take(&mut entry.jobs));
    let links = std::mem::take(&mut entry.payloads);
    let (id, known, job) = (entry.id, Known::of(workspace, &entry), delivering(&jobs));
    let inbox = &mut transaction.state.inbox;
    inbox.known.insert(known, id);
    let record = InboxRecord { entry, body_kept: true, duplicates: 0, job, given_up: false };
    inbox.entries.entry(workspace.clone()).or_default().insert(id, record);
    let now = transaction.now;
    transaction.state.payloads.link(workspace, id, links, now);
    transaction.tell(workspace, events);
    transaction.accept(workspace, jobs);
    Ok(Ingested::New)
}

#[async_trait]
impl InboxStore for MemoryStore {
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError> {
        self.write(|transaction| ingest(transaction, workspace, entry))
    }

    async fn inbox_entry(&self, workspace: &WorkspaceId, id: InboxId) -> Result<Option<InboxRecord>, StoreError> {
        Ok(self.read(|state| state.inbox.entry(workspace, id).cloned()))
    }

    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError> {
        Ok(self.read(|state| state.inbox.page(workspace, before, limit)))
    }

    async fn redeliver(&self, workspace: &WorkspaceId, id: InboxId, enqueue: Enqueue) -> Result<bool, StoreError> {
        Ok(self.write(|transaction| {
            if transaction.state.inbox.entry(workspace, id).is_none() {
                return false;
            }
            let job = delivering(&enqueue.jobs);
            transaction.enqueue(workspace, enqueue);
            // Nothing is noted that was not enqueued, because an idempotency key answered for it.
            let enqueued = job.filter(|job| transaction.state.jobs.record(workspace, *job).is_some());
            if let (Some(record), Some(job)) = (transaction.state.inbox.entry_mut(workspace, id), enqueued) {
                record.job = Some(job);
                record.given_up = false;
            }
            true
        }))
    }
}
