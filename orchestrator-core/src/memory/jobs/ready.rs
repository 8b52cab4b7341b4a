//! What is ready, in the order of taking: workspaces in turn, in each by priority and then acceptance.
//!
//! Within a workspace jobs stand in the lane of their target, so that a paused lane is passed over whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use orchestrator_types::{JobId, Name, WorkspaceId};

use crate::store::{JobKind, LaneKey, NewJob};

/// What jobs of a workspace have in common that share a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    delivery: bool,
    target: Option<Name>,
}

impl Lane {
    pub(super) fn of(job: &NewJob) -> Self {
        let delivery = job.kind != JobKind::Call;
        let target = if delivery { job.callback.clone() } else { job.connector.clone() };
        Self { delivery, target }
    }

    pub(super) fn key(&self, workspace: &WorkspaceId) -> Option<LaneKey> {
        let target = self.target.clone()?;
        Some(LaneKey { workspace: workspace.clone(), delivery: self.delivery, target })
    }
}

/// Where a job stands in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: Reverse<u8>,
    accepted: u64,
    job: JobId,
}

impl Place {
    pub(super) fn of(job: &NewJob, accepted: u64) -> Self {
        Self { priority: Reverse(job.priority), accepted, job: job.id }
    }
}

/// Ready jobs of all workspaces.
#[derive(Default)]
pub(super) struct Ready {
    workspaces: BTreeMap<WorkspaceId, BTreeMap<Lane, BTreeSet<Place>>>,
    /// Who was served last: the next turn begins after it.
    served: Option<WorkspaceId>,
}

impl Ready {
    pub(super) fn insert(&mut self, workspace: &WorkspaceId, lane: &Lane, place: Place) {
        let lanes = self.workspaces.entry(workspace.clone()).or_default();
        lanes.entry(lane.clone()).or_default().insert(place);
    }

    pub(super) fn remove(&mut self, workspace: &WorkspaceId, lane: &Lane, place: Place) {
        let Some(lanes) = self.workspaces.get_mut(workspace) else { return };
        let Some(places) = lanes.get_mut(lane) else { return };
        places.remove(&place);
        if places.is_empty() {
            lanes.remove(lane);
        }
        if lanes.is_empty() {
            self.workspaces.remove(workspace);
        }
    }

    /// The workspaces with ready jobs, beginning after the one served last.
    pub(super) fn turn(&self) -> Vec<WorkspaceId> {
        let Some(served) = &self.served else { return self.workspaces.keys().cloned().collect() };
        let after = self.workspaces.range::<WorkspaceId, _>((Bound::Excluded(served), Bound::Unbounded));
        let before = self.workspaces.range::<WorkspaceId, _>((Bound::Unbounded, Bound::Included(served)));
        after.chain(before).map(|(workspace, _)| workspace.clone()).collect()
    }

    /// Notes that a workspace had its turn.
    pub(super) fn serve(&mut self, workspace: &WorkspaceId) {
        self.served = Some(workspace.clone());
    }

    /// The job of a workspace that is next, of lanes that are not paused.
    pub(super) fn next(&self, workspace: &WorkspaceId, paused: &HashSet<LaneKey>) -> Option<JobId> {
        let lanes = self.workspaces.get(workspace)?.iter();
        let open = lanes
            .filter(|(lane, _)| paused.is_empty() || lane.key(workspace).is_none_or(|lane| !paused.contains(&lane)));
        open.filter_map(|(_, places)| places.first()).min().map(|place| place.job)
    }

    /// The first `each` of each lane, of up to `workspaces` workspaces from after `after`.
    pub(super) fn heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> impl Iterator<Item = (&WorkspaceId, JobId)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.workspaces.range::<WorkspaceId, _>((from, Bound::Unbounded)).take(workspaces);
        range.flat_map(move |(workspace, lanes)| {
            let heads = lanes.values().flat_map(move |places| places.iter().take(each));
            heads.map(move |place| (workspace, place.job))
        })
    }

    /// All of them, in no order that means anything.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (&WorkspaceId, JobId)> {
        let lanes =
            self.workspaces.iter().flat_map(|(workspace, lanes)| lanes.values().map(move |lane| (workspace, lane)));
        lanes.flat_map(|(workspace, places)| places.iter().map(move |place| (workspace, place.job)))
    }
}
