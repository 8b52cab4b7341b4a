//! The rows of jobs, and every index of them. A row changes only through [`Jobs::change`], which keeps the indexes true.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use orchestrator_types::{JobId, Timestamp, WorkspaceId};

use super::ready::{Lane, Place, Ready};
use crate::queue::JobHint;
use crate::store::{Claim, ClaimNamed, JobRecord, JobState, LaneKey, MAX_LOST_LEASES, NewJob, QueueStats};

/// A job as it is kept.
pub(super) struct Row {
    pub(super) record: JobRecord,
    /// Its place in the order of acceptance.
    accepted: u64,
    /// When its lease ends, while it runs.
    pub(super) lease_until: Timestamp,
}

/// Jobs of one ordering key that have not ended.
#[derive(Default)]
struct Line {
    queued: BTreeSet<(u64, JobId)>,
    running: BTreeSet<JobId>,
    /// The one that is among the ready.
    offered: Option<Slot>,
}

/// Where a ready job is found.
#[derive(Clone)]
struct Slot {
    quarantine: bool,
    lane: Lane,
    place: Place,
}

impl Slot {
    fn of(row: &Row) -> Self {
        let job = &row.record.job;
        Self { quarantine: row.record.lost_leases > 0, lane: Lane::of(job), place: Place::of(job, row.accepted) }
    }
}

type At = (Timestamp, WorkspaceId, JobId);

#[derive(Default)]
pub(in crate::memory) struct Jobs {
    rows: BTreeMap<WorkspaceId, BTreeMap<JobId, Row>>,
    accepted: u64,
    ready: Ready,
    quarantine: Ready,
    scheduled: BTreeSet<At>,
    leases: BTreeSet<At>,
    lines: BTreeMap<(WorkspaceId, String), Line>,
    /// Those that succeeded or were cancelled, by when.
    ended: BTreeMap<WorkspaceId, BTreeSet<(Timestamp, JobId)>>,
    dead: BTreeMap<WorkspaceId, BTreeSet<JobId>>,
    queued: u64,
    /// Whether jobs that become ready are to be named.
    pub(in crate::memory) hinting: bool,
    /// Those that may have.
    hinted: BTreeSet<(WorkspaceId, JobId)>,
}

impl Jobs {
    fn row(&self, workspace: &WorkspaceId, id: JobId) -> Option<&Row> {
        self.rows.get(workspace)?.get(&id)
    }

    pub(in crate::memory) fn record(&self, workspace: &WorkspaceId, id: JobId) -> Option<&JobRecord> {
        self.row(workspace, id).map(|row| &row.record)
    }

    /// The jobs of a workspace, newest first.
    pub(super) fn newest(&self, workspace: &WorkspaceId, before: Option<JobId>) -> impl Iterator<Item = &JobRecord> {
        let rows = self.rows.get(workspace).into_iter().flat_map(move |rows| {
            match before {
                Some(before) => rows.range(..before),
                None => rows.range(..),
            }
            .rev()
        });
        rows.map(|(_, row)| &row.record)
    }

    /// The dead jobs of a workspace, newest first.
    pub(super) fn buried(&self, workspace: &WorkspaceId, before: Option<JobId>) -> impl Iterator<Item = &JobRecord> {
        let ids = self.dead.get(workspace).into_iter().flat_map(|ids| ids.iter().rev().copied());
        let older = ids.filter(move |id| before.is_none_or(|before| *id < before));
        older.filter_map(|id| self.record(workspace, id))
    }

    /// Accepts a job; `false` if it is there already.
    pub(in crate::memory) fn accept(&mut self, workspace: &WorkspaceId, mut job: NewJob, now: Timestamp) -> bool {
        let id = job.id;
        if self.row(workspace, id).is_some() {
            return false;
        }
        self.accepted += 1;
        let run_at = *job.run_at.get_or_insert(now);
        let record = JobRecord {
            workspace: workspace.clone(),
            state: JobState::Queued,
            attempt: 0,
            fence: 0,
            lost_leases: 0,
            created_at: now,
            run_at,
            finished_at: None,
            output: None,
            error: None,
            dead_reason: None,
            delivery: None,
            job,
        };
        let row = Row { record, accepted: self.accepted, lease_until: now };
        self.rows.entry(workspace.clone()).or_default().insert(id, row);
        self.index(workspace, id, now);
        true
    }

    /// Changes a row, and answers its record after it.
    pub(super) fn change(
        &mut self,
        workspace: &WorkspaceId,
        id: JobId,
        now: Timestamp,
        change: impl FnOnce(&mut Row),
    ) -> Option<&JobRecord> {
        self.row(workspace, id)?;
        self.unindex(workspace, id, now);
        let row = self.rows.get_mut(workspace)?.get_mut(&id)?;
        change(row);
        row.record.job.run_at = Some(row.record.run_at);
        self.index(workspace, id, now);
        self.record(workspace, id)
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, workspace: &WorkspaceId, id: JobId, now: Timestamp) {
        self.unindex(workspace, id, now);
        if let Some(rows) = self.rows.get_mut(workspace) {
            rows.remove(&id);
        }
    }

    fn index(&mut self, workspace: &WorkspaceId, id: JobId, now: Timestamp) {
        let Some(row) = self.rows.get(workspace).and_then(|rows| rows.get(&id)) else { return };
        let (accepted, run_at, lease_until) = (row.accepted, row.record.run_at, row.lease_until);
        let finished_at = row.record.finished_at.unwrap_or(now);
        let (state, slot, key) = (row.record.state, Slot::of(row), row.record.job.ordering_key.clone());
        match state {
            JobState::Queued => {
                self.queued += 1;
                if run_at > now {
                    self.scheduled.insert((run_at, workspace.clone(), id));
                }
                self.hint(workspace, id);
                if let Some(key) = key {
                    let line = (workspace.clone(), key);
                    self.lines.entry(line.clone()).or_default().queued.insert((accepted, id));
                    self.offer(&line, now);
                } else if run_at <= now {
                    self.side(slot.quarantine).insert(workspace, &slot.lane, slot.place);
                }
            }
            JobState::Running => {
                self.leases.insert((lease_until, workspace.clone(), id));
                if let Some(key) = key {
                    let line = (workspace.clone(), key);
                    self.lines.entry(line.clone()).or_default().running.insert(id);
                    self.offer(&line, now);
                }
            }
            JobState::Succeeded | JobState::Cancelled => {
                self.ended.entry(workspace.clone()).or_default().insert((finished_at, id));
            }
            JobState::Dead => {
                self.dead.entry(workspace.clone()).or_default().insert(id);
            }
        }
    }

    fn unindex(&mut self, workspace: &WorkspaceId, id: JobId, now: Timestamp) {
        let Some(row) = self.rows.get(workspace).and_then(|rows| rows.get(&id)) else { return };
        let (accepted, run_at, lease_until) = (row.accepted, row.record.run_at, row.lease_until);
        let finished_at = row.record.finished_at;
        let (state, slot, key) = (row.record.state, Slot::of(row), row.record.job.ordering_key.clone());
        match state {
            JobState::Queued => {
                self.queued -= 1;
                self.scheduled.remove(&(run_at, workspace.clone(), id));
                if key.is_none() {
                    self.side(slot.quarantine).remove(workspace, &slot.lane, slot.place);
                }
            }
            JobState::Running => {
                self.leases.remove(&(lease_until, workspace.clone(), id));
            }
            JobState::Succeeded | JobState::Cancelled => {
                if let (Some(ended), Some(at)) = (self.ended.get_mut(workspace), finished_at) {
                    ended.remove(&(at, id));
                }
            }
            JobState::Dead => {
                if let Some(dead) = self.dead.get_mut(workspace) {
                    dead.remove(&id);
                }
            }
        }
        if let Some(key) = key {
            let line = (workspace.clone(), key);
            if let Some(found) = self.lines.get_mut(&line) {
                found.queued.remove(&(accepted, id));
                found.running.remove(&id);
            }
            self.offer(&line, now);
        }
    }

    fn side(&mut self, quarantine: bool) -> &mut Ready {
        if quarantine { &mut self.quarantine } else { &mut self.ready }
    }

    /// Makes the first of a line ready, if none of it runs and its time has come; and no other.
    fn offer(&mut self, key: &(WorkspaceId, String), now: Timestamp) {
        let (workspace, Some(line)) = (&key.0, self.lines.get_mut(key)) else { return };
        let withdrawn = line.offered.take();
        let head = line.queued.first().filter(|_| line.running.is_empty()).map(|(_, id)| *id);
        let row = head.and_then(|id| self.rows.get(workspace)?.get(&id));
        let offered = row.filter(|row| row.record.run_at <= now).map(Slot::of);
        line.offered.clone_from(&offered);
        if line.queued.is_empty() && line.running.is_empty() {
            self.lines.remove(key);
        }
        if let Some(slot) = withdrawn {
            self.side(slot.quarantine).remove(workspace, &slot.lane, slot.place);
        }
        if let Some(slot) = offered {
            self.side(slot.quarantine).insert(workspace, &slot.lane, slot.place);
        }
        if let Some(head) = head {
            self.hint(workspace, head);
        }
    }

    /// Notes that a job may have become ready, or has a time now.
    fn hint(&mut self, workspace: &WorkspaceId, id: JobId) {
        if self.hinting {
            self.hinted.insert((workspace.clone(), id));
        }
    }

    /// The jobs that became ready since this was asked last, or will at a time that is known.
    pub(in crate::memory) fn hints(&mut self) -> Vec<JobHint> {
        let hinted = std::mem::take(&mut self.hinted);
        hinted.iter().filter_map(|(workspace, id)| self.free(workspace, *id)).map(JobHint::of).collect()
    }

    /// A queued job that waits for nothing but its time: it never lost a lease, and is the first of its ordering key.
    fn free(&self, workspace: &WorkspaceId, id: JobId) -> Option<&JobRecord> {
        let record = self.record(workspace, id)?;
        let first = record.job.ordering_key.as_ref().is_none_or(|key| {
            let line = self.lines.get(&(workspace.clone(), key.clone()));
            line.is_some_and(|line| line.running.is_empty() && line.queued.first().is_some_and(|(_, head)| *head == id))
        });
        (record.state == JobState::Queued && record.lost_leases == 0 && first).then_some(record)
    }

    /// Makes ready whose time has come.
    pub(super) fn promote(&mut self, now: Timestamp) {
        while self.scheduled.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, workspace, id)) = self.scheduled.pop_first() else { break };
            let Some(row) = self.row(&workspace, id) else { continue };
            let slot = Slot::of(row);
            match row.record.job.ordering_key.clone() {
                Some(key) => self.offer(&(workspace, key), now),
                None => self.side(slot.quarantine).insert(&workspace, &slot.lane, slot.place),
            }
        }
    }

    /// Takes ready jobs in turn.
    pub(super) fn claim(&mut self, claim: Claim, now: Timestamp) -> Vec<JobRecord> {
        self.promote(now);
        let mut paused: HashSet<LaneKey> = claim.paused.into_iter().collect();
        let mut limited: HashMap<LaneKey, usize> = claim.limited.into_iter().collect();
        paused.extend(limited.iter().filter(|(_, left)| **left == 0).map(|(lane, _)| lane.clone()));
        let full: HashSet<WorkspaceId> = claim.full.into_iter().collect();
        // What is in quarantine runs alone.
        let max = if claim.quarantine { claim.max.min(1) } else { claim.max };
        let mut turn = self.side(claim.quarantine).turn();
        turn.retain(|workspace| !full.contains(workspace));
        let (mut taken, mut round) = (Vec::new(), 0);
        while round < claim.per_workspace && taken.len() < max && !turn.is_empty() {
            turn.retain(|workspace| {
                if taken.len() >= max {
                    return true;
                }
                let Some(id) = self.side(claim.quarantine).next(workspace, &paused) else { return false };
                self.side(claim.quarantine).serve(workspace);
                let Some(started) = self.start(workspace, id, claim.lease, now) else { return true };
                if let Some(lane) = Lane::of(&started.job).key(workspace)
                    && let Some(left) = limited.get_mut(&lane)
                {
                    *left -= 1;
                    if *left == 0 {
                        paused.insert(lane);
                    }
                }
                taken.push(started);
                true
            });
            round += 1;
        }
        taken
    }

    /// Takes the jobs that are named and may run.
    pub(super) fn claim_named(&mut self, claim: &ClaimNamed, now: Timestamp) -> Vec<JobRecord> {
        self.promote(now);
        let mut taken = Vec::new();
        for (workspace, id) in &claim.jobs {
            if self.free(workspace, *id).is_some_and(|record| record.run_at <= now) {
                taken.extend(self.start(workspace, *id, claim.lease, now));
            }
        }
        taken
    }

    fn start(&mut self, workspace: &WorkspaceId, id: JobId, lease: Duration, now: Timestamp) -> Option<JobRecord> {
        let started = self.change(workspace, id, now, |row| {
            row.record.state = JobState::Running;
            row.record.attempt += 1;
            row.record.fence += 1;
            row.lease_until = now.after(lease);
        });
        started.cloned()
    }

    /// The first ready jobs of each lane.
    pub(super) fn heads(
        &mut self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
        now: Timestamp,
    ) -> Vec<JobHint> {
        self.promote(now);
        let heads = self.ready.heads(after, workspaces, each);
        heads.filter_map(|(workspace, id)| self.record(workspace, id)).map(JobHint::of).collect()
    }

    /// Takes back up to `limit` leases that have ended: those made ready, and those that are poison.
    pub(super) fn rescue(&mut self, lease: Duration, limit: usize, now: Timestamp) -> (Vec<JobRecord>, Vec<JobRecord>) {
        let over = self.leases.iter().take_while(|(until, _, _)| *until <= now).take(limit);
        let over: Vec<_> = over.map(|(_, workspace, id)| (workspace.clone(), *id)).collect();
        let (mut ready, mut poisoned) = (Vec::new(), Vec::new());
        for (workspace, id) in over {
            let rescued = self.change(&workspace, id, now, |row| {
                row.record.lost_leases += 1;
                row.record.fence += 1;
                if row.record.lost_leases >= MAX_LOST_LEASES {
                    row.lease_until = now.after(lease);
                } else {
                    row.record.state = JobState::Queued;
                    row.record.run_at = now;
                }
            });
            match rescued {
                Some(record) if record.state == JobState::Running => poisoned.push(record.clone()),
                Some(record) => ready.push(record.clone()),
                None => {}
            }
        }
        (ready, poisoned)
    }

    /// Removes up to `limit` jobs that ended before `before`; dead ones stay.
    pub(in crate::memory) fn sweep(
        &mut self,
        workspace: &WorkspaceId,
        before: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Vec<JobId> {
        let ended = self.ended.get(workspace).into_iter().flatten();
        let old: Vec<_> = ended.take_while(|(at, _)| *at < before).take(limit).copied().collect();
        for (_, id) in &old {
            self.remove(workspace, *id, now);
        }
        old.into_iter().map(|(_, id)| id).collect()
    }

    /// The earliest time that a queued job waits for.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.scheduled.iter().map(|(at, _, _)| *at).find(|at| *at > now)
    }

    pub(super) fn stats(&mut self, now: Timestamp) -> QueueStats {
        self.promote(now);
        let ready = self.ready.jobs().chain(self.quarantine.jobs());
        let since: Vec<_> = ready
            .filter_map(|(workspace, id)| self.record(workspace, id))
            .map(|record| record.run_at.max(record.created_at))
            .collect();
        let expired = self.leases.first().map(|(until, _, _)| now.since(*until));
        QueueStats {
            ready: since.len() as u64,
            waiting: self.queued - since.len() as u64,
            running: self.leases.len() as u64,
            dead: self.dead.values().map(|ids| ids.len() as u64).sum(),
            oldest_ready: since.iter().min().map(|oldest| now.since(*oldest)).unwrap_or_default(),
            oldest_expired_lease: expired.unwrap_or_default(),
        }
    }
}
