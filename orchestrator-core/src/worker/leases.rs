//! The leases that this node holds, and keeping them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use orchestrator_types::WorkspaceId;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::store::HeldLease;

struct Held {
    task: Option<AbortHandle>,
    renewed: Instant,
}

/// What is held. A lease stays here until its settlement is written.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<BTreeMap<HeldLease, Held>>,
    /// A place became free.
    pub(super) freed: Notify,
}

impl Leases {
    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<HeldLease, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self, lease: HeldLease, claimed: Instant) {
        self.locked().insert(lease, Held { task: None, renewed: claimed });
    }

    /// Names the task that works under a lease; aborts it at once if the lease is gone already.
    pub(super) fn works(&self, lease: &HeldLease, task: AbortHandle) {
        match self.locked().get_mut(lease) {
            Some(held) => held.task = Some(task),
            None => task.abort(),
        }
    }

    pub(super) fn holds(&self, lease: &HeldLease) -> bool {
        self.locked().contains_key(lease)
    }

    pub(super) fn release(&self, lease: &HeldLease) {
        if self.locked().remove(lease).is_some() {
            self.freed.notify_one();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.locked().len()
    }

    pub(super) fn all(&self) -> Vec<HeldLease> {
        self.locked().keys().cloned().collect()
    }

    /// How many each workspace has.
    pub(super) fn by_workspace(&self) -> BTreeMap<WorkspaceId, usize> {
        let mut counts = BTreeMap::new();
        for lease in self.locked().keys() {
            *counts.entry(lease.workspace.clone()).or_default() += 1;
        }
        counts
    }

    /// Notes that these were renewed at `at`, when the request for it left.
    pub(super) fn renewed(&self, leases: &[HeldLease], at: Instant) {
        let mut held = self.locked();
        for lease in leases {
            if let Some(held) = held.get_mut(lease) {
                held.renewed = at;
            }
        }
    }

    /// Stops the work under a lease that is lost.
    pub(super) fn lose(&self, lease: &HeldLease) {
        let lost = self.locked().remove(lease);
        if let Some(lost) = lost {
            if let Some(task) = lost.task {
                task.abort();
            }
            self.freed.notify_one();
        }
    }

    /// Those that have not been renewed for `trusted`: they may end before the store says so.
    pub(super) fn overdue(&self, trusted: Duration) -> Vec<HeldLease> {
        self.locked()
            .iter()
            .filter(|(_, held)| held.renewed.elapsed() >= trusted)
            .map(|(lease, _)| lease.clone())
            .collect()
    }
}
