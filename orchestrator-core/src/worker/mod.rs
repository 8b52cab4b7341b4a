//! The worker: claims ready jobs, runs them under their policies, settles in batches.
//!
//! Ownership is the store's: attempt and fence are counted before any work starts, and a settlement names its fence, so
//! that a worker that was paused and comes back changes nothing. Whatever a limit holds back is given back to the store
//! and costs neither an attempt nor a slot.
//!
//! With a [queue](crate::queue) a worker takes hints, and claims the jobs that they name; when it has none for it, and while it
//! is away, the worker claims what the store has. The reconciler offers again what the queue may have forgotten.

mod dispatch;
mod hinted;
mod lanes;
mod leases;
mod outcome;
mod reconcile;
mod run;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orchestrator_types::WorkspaceId;

pub(crate) use dispatch::start;

/// How a node works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// How many jobs run at once.
    pub slots: usize,
    /// How many of them may be of one workspace.
    pub per_workspace: usize,
    /// How long a job stays this node's without being renewed; it is renewed at a third.
    pub lease: Duration,
    /// How long running jobs may go on when the node stops, before they are given back.
    pub drain: Duration,
    /// How many jobs a workspace gives at its turn, if not one: where a queue says whose turn it is.
    pub weights: Arc<BTreeMap<WorkspaceId, u32>>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            slots: 128,
            per_workspace: 64,
            lease: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            weights: Arc::default(),
        }
    }
}

/// What a node's worker did.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerStats(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU64,
    stale: AtomicU64,
    lost: AtomicU64,
}

impl WorkerStats {
    pub(crate) fn running(&self) -> u64 {
        self.0.running.load(Ordering::Relaxed)
    }

    pub(crate) fn stale(&self) -> u64 {
        self.0.stale.load(Ordering::Relaxed)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}
