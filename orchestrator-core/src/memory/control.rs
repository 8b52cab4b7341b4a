//! Control records, routes and audit chains in memory.

mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use async_trait::async_trait;
use orchestrator_types::{AuditRecord, Name, Timestamp, WorkspaceId};

use self::routes::Routes;
use super::{MemoryStore, Transaction};
use crate::audit::chain;
use crate::store::{
    CommitError, Committed, ControlChange, ControlStore, Expect, NewAudit, Owner, Record, RecordKind, RecordWrite,
    RouteKey, RouteOwner, StoreError,
};

type Key = (RecordKind, String);

/// What the records of a change will be (`None`: gone), and the answer to its writes.
#[derive(Default)]
struct Plan {
    records: BTreeMap<Key, Option<Record>>,
    versions: Vec<u64>,
}

#[derive(Default)]
pub(super) struct Control {
    records: BTreeMap<Owner, BTreeMap<Key, Record>>,
    workspaces: BTreeSet<WorkspaceId>,
    routes: Routes,
    chains: BTreeMap<Owner, Vec<AuditRecord>>,
    epoch: u64,
    changed: BTreeMap<Owner, u64>,
}

impl Control {
    fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Option<&Record> {
        self.records.get(owner)?.get(&(kind, key.to_owned()))
    }

    fn page(&self, owner: &Owner, kind: RecordKind, after: Option<&str>, limit: usize) -> Vec<Record> {
        let Some(records) = self.records.get(owner) else { return Vec::new() };
        let start = match after {
            Some(after) => Bound::Excluded((kind, after.to_owned())),
            None => Bound::Included((kind, String::new())),
        };
        let of_kind = records.range((start, Bound::Unbounded)).take_while(|((found, _), _)| *found == kind);
        of_kind.take(limit).map(|(_, record)| record.clone()).collect()
    }

    /// Judges the writes without doing them; a later write sees the ones before it.
    fn plan(&self, owner: &Owner, writes: Vec<RecordWrite>, now: Timestamp) -> Result<Plan, CommitError> {
        let mut plan = Plan::default();
        for (write, RecordWrite { kind, key, expect, body }) in writes.into_iter().enumerate() {
            let there = match plan.records.get(&(kind, key.clone())) {
                Some(planned) => planned.as_ref(),
                None => self.record(owner, kind, &key),
            };
            let current = there.map(|record| record.version);
            let holds = match expect {
                Expect::Any => true,
                Expect::Absent => current.is_none(),
                Expect::Version(version) => current == Some(version),
            };
            if !holds {
                return Err(CommitError::Conflict { write, current });
            }
            let version = current.unwrap_or(0) + 1;
            plan.versions.push(if body.is_some() { version } else { 0 });
            let record = body.map(|body| Record { key: key.clone(), version, body, updated_at: now });
            plan.records.insert((kind, key), record);
        }
        Ok(plan)
    }

    fn apply(&mut self, owner: &Owner, planned: BTreeMap<Key, Option<Record>>) {
        let records = self.records.entry(owner.clone()).or_default();
        for (key, record) in planned {
            match record {
                Some(record) => records.insert(key, record),
                None => records.remove(&key),
            };
        }
        let start = (RecordKind::Workspace, String::new());
        let exists = records.range(start..).next().is_some_and(|((kind, _), _)| *kind == RecordKind::Workspace);
        if let Some(workspace) = owner.workspace() {
            if exists {
                self.workspaces.insert(workspace.clone());
            } else {
                self.workspaces.remove(workspace);
            }
        }
    }

    /// Appends to an owner's chain.
    pub(super) fn audit(&mut self, owner: &Owner, new: NewAudit, now: Timestamp) {
        let records = self.chains.entry(owner.clone()).or_default();
        let previous = records.last().map(|record| (record.number, record.hash.as_str()));
        let record = chain(owner, previous, new, now);
        records.push(record);
    }
}

fn commit(transaction: &mut Transaction<'_>, change: ControlChange) -> Result<Committed, CommitError> {
    let (now, control) = (transaction.now, &mut transaction.state.control);
    let owner = change.owner;
    let plan = control.plan(&owner, change.writes, now)?;
    // The install has no routes: nothing reaches it from outside.
    if let (Some(routes), Some(workspace)) = (change.routes, owner.workspace()) {
        control.routes.check(workspace, &routes, change.take_routes, now)?;
        control.routes.replace(workspace, routes, now);
    }
    control.apply(&owner, plan.records);
    for audit in change.audit {
        control.audit(&owner, audit, now);
    }
    control.epoch += 1;
    let epoch = control.epoch;
    control.changed.insert(owner.clone(), epoch);
    transaction.told.control = true;
    if let Some(workspace) = owner.workspace().filter(|_| !change.events.is_empty()) {
        transaction.tell(workspace, change.events);
    }
    Ok(Committed { versions: plan.versions, epoch })
}

#[async_trait]
impl ControlStore for MemoryStore {
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError> {
        self.write(|transaction| commit(transaction, change))
    }

    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.read(|state| state.control.record(owner, kind, key).cloned()))
    }

    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(self.read(|state| state.control.page(owner, kind, after, limit)))
    }

    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.read(|state| {
            let rest = state.control.workspaces.range::<WorkspaceId, _>((start, Bound::Unbounded));
            rest.take(limit).cloned().collect()
        }))
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
        Ok(self.read(|state| {
            let changed = state.control.changed.iter().filter(|(_, at)| **at > epoch);
            (state.control.epoch, changed.map(|(owner, _)| owner.clone()).collect())
        }))
    }

    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError> {
        Ok(self.read(|state| state.control.routes.held(provider, key)))
    }

    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError> {
        Ok(self.read(|state| state.control.routes.of_provider(provider, limit)))
    }

    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
        self.write(|transaction| transaction.state.control.routes.verified(workspace, route));
        Ok(())
    }

    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.read(|state| {
            let records = state.control.chains.get(owner).into_iter().flatten();
            records.skip(after).take(limit).cloned().collect()
        }))
    }
}
