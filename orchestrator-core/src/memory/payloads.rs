//! Rows of payloads in memory, and who names them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;

use async_trait::async_trait;
use orchestrator_types::{ExecutionId, PayloadId, Timestamp, WorkspaceId};

use super::MemoryStore;
use crate::store::{NewPayload, PayloadIndex, PayloadLinks, PayloadRecord, PayloadSweep, StoreError};

#[derive(Default)]
pub(super) struct Rows(HashMap<WorkspaceId, Own>);

/// One workspace's.
#[derive(Default)]
struct Own {
    rows: BTreeMap<PayloadId, Row>,
    /// What each owner names, and since when.
    names: BTreeMap<String, (Timestamp, BTreeSet<PayloadId>)>,
}

struct Row {
    record: PayloadRecord,
    /// By how many owners it is named.
    named: usize,
}

impl Own {
    fn add(&mut self, payload: NewPayload, now: Timestamp) {
        let id = payload.id;
        let record = PayloadRecord { payload, created_at: now, lost_at: None };
        self.rows.entry(id).or_insert(Row { record, named: 0 });
    }

    fn unlink(&mut self, owner: &str) {
        let Some((_, named)) = self.names.remove(owner) else { return };
        for id in named {
            if let Some(row) = self.rows.get_mut(&id) {
                row.named -= 1;
            }
        }
    }
}

impl Rows {
    /// Writes what an owner has to do with payloads.
    pub(super) fn link(&mut self, workspace: &WorkspaceId, owner: impl Display, links: PayloadLinks, now: Timestamp) {
        if links.is_empty() {
            return;
        }
        let own = self.0.entry(workspace.clone()).or_default();
        let all = links.all();
        links.new.into_iter().for_each(|payload| own.add(payload, now));
        let (_, names) = own.names.entry(owner.to_string()).or_insert_with(|| (now, BTreeSet::new()));
        for id in all {
            if let Some(row) = own.rows.get_mut(&id)
                && names.insert(id)
            {
                row.named += 1;
            }
        }
    }

    /// An owner is gone.
    pub(super) fn unlink(&mut self, workspace: &WorkspaceId, owner: impl Display) {
        if let Some(own) = self.0.get_mut(workspace) {
            own.unlink(&owner.to_string());
        }
    }

    fn row(&self, workspace: &WorkspaceId, id: PayloadId) -> Option<&PayloadRecord> {
        Some(&self.0.get(workspace)?.rows.get(&id)?.record)
    }

    fn sweep(&mut self, workspace: &WorkspaceId, sweep: PayloadSweep, limit: usize) -> Vec<PayloadId> {
        let Some(own) = self.0.get_mut(workspace) else { return Vec::new() };
        let execution = |owner: &str| owner.parse::<ExecutionId>().is_ok();
        let old = own.names.iter().filter(|(owner, (since, _))| *since < sweep.executions_before && execution(owner));
        let old: Vec<String> = old.map(|(owner, _)| owner.clone()).take(limit).collect();
        old.iter().for_each(|owner| own.unlink(owner));
        let nobodys = |row: &Row| row.named == 0 && row.record.created_at < sweep.unnamed_before;
        let gone: Vec<_> = own.rows.iter().filter(|(_, row)| nobodys(row)).map(|(id, _)| *id).take(limit).collect();
        gone.iter().for_each(|id| drop(own.rows.remove(id)));
        gone
    }
}

#[async_trait]
impl PayloadIndex for MemoryStore {
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError> {
        self.write(|transaction| {
            let now = transaction.now;
            transaction.state.payloads.0.entry(workspace.clone()).or_default().add(payload, now);
        });
        Ok(())
    }

    async fn payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<Option<PayloadRecord>, StoreError> {
        Ok(self.read(|state| state.payloads.row(workspace, id).cloned()))
    }

    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError> {
        let known = |rows: &Rows| ids.iter().filter(|id| rows.row(workspace, **id).is_some()).copied().collect();
        Ok(self.read(|state| known(&state.payloads)))
    }

    async fn note_lost_payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<(), StoreError> {
        self.write(|transaction| {
            let now = transaction.now;
            let own = transaction.state.payloads.0.get_mut(workspace);
            if let Some(row) = own.and_then(|own| own.rows.get_mut(&id)) {
                row.record.lost_at.get_or_insert(now);
            }
        });
        Ok(())
    }

    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        Ok(self.write(|transaction| transaction.state.payloads.sweep(workspace, sweep, limit)))
    }
}
