//! Hints, and the steps that behaviours share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::queue::{JobHint, JobQueue, Take};
use orchestrator_core::store::LaneKey;
use orchestrator_core::types::{JobId, Timestamp, WorkspaceId};

/// A limit of liveness: long enough for any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn workspace(text: &str) -> WorkspaceId {
    text.parse().expect("a well-formed workspace")
}

/// A hint of a call through `crm`.
pub(crate) fn hint(of: &str, run_at: Timestamp) -> JobHint {
    JobHint {
        workspace: workspace(of),
        job: JobId::new(),
        delivery: false,
        target: Some("crm".parse().expect("a well-formed name")),
        priority: 5,
        run_at,
    }
}

pub(crate) fn hints(of: &str, count: usize, run_at: Timestamp) -> Vec<JobHint> {
    (0..count).map(|_| hint(of, run_at)).collect()
}

pub(crate) fn through(target: &str, hint: JobHint) -> JobHint {
    JobHint { target: Some(target.parse().expect("a well-formed name")), ..hint }
}

pub(crate) fn lane(of: &str, target: &str) -> LaneKey {
    LaneKey { workspace: workspace(of), delivery: false, target: target.parse().expect("a well-formed name") }
}

/// Up to `max`, of whomever, without waiting.
pub(crate) fn up_to(max: usize) -> Take {
    Take { max, per_workspace: usize::MAX, ..Take::default() }
}

/// The same, waiting for the first.
pub(crate) fn waiting(max: usize, wait: Duration) -> Take {
    Take { wait, ..up_to(max) }
}

pub(crate) async fn offer(queue: &Arc<dyn JobQueue>, hints: &[JobHint]) {
    queue.offer(hints).await.expect("offer");
}

pub(crate) async fn take(queue: &Arc<dyn JobQueue>, take: Take) -> Vec<JobHint> {
    queue.take(&take).await.expect("take")
}

/// Everything that is due, in the order of taking.
pub(crate) async fn drain(queue: &Arc<dyn JobQueue>) -> Vec<JobHint> {
    let mut all = Vec::new();
    loop {
        let taken = take(queue, up_to(64)).await;
        if taken.is_empty() {
            return all;
        }
        all.extend(taken);
        assert!(all.len() < 100_000, "this would never end");
    }
}

pub(crate) fn ids(hints: &[JobHint]) -> BTreeSet<JobId> {
    hints.iter().map(|hint| hint.job).collect()
}

/// How many of these are of a workspace.
pub(crate) fn of(hints: &[JobHint], name: &str) -> usize {
    hints.iter().filter(|hint| hint.workspace.as_str() == name).count()
}
