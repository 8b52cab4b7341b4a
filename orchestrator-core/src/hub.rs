//! Wakes who waits: long polls and streams of a workspace, the worker, the config watcher.
//!
//! A wake-up is a hint. Whoever waits looks again by itself from time to time, so that what another process commits is
//! seen as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_types::WorkspaceId;
use tokio::sync::{Notify, watch};

use crate::queue::{JobHint, Link};
use crate::store::CommitWatch;

/// Hears of commits and wakes who waits for them.
#[derive(Default)]
pub(crate) struct Hub {
    waiting: Mutex<HashMap<WorkspaceId, watch::Sender<()>>>,
    /// A job may have become ready.
    pub(crate) ready: Notify,
    /// Control records changed.
    pub(crate) control: Notify,
    /// They did, and other nodes are to be told.
    pub(crate) changed: Notify,
    /// Where jobs that become ready are offered.
    queue: Option<Arc<Link>>,
}

impl Hub {
    /// One that offers what became ready.
    pub(crate) fn offering(queue: Option<Arc<Link>>) -> Self {
        Self { queue, ..Self::default() }
    }

    /// Changes of a workspace from now on. Ask before looking, then nothing is missed.
    pub(crate) fn watch(&self, workspace: &WorkspaceId) -> watch::Receiver<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: an entry stays only while somebody waits on it.
        if waiting.len() > 1_024 {
            waiting.retain(|_, sender| sender.receiver_count() > 0);
        }
        waiting.entry(workspace.clone()).or_insert_with(|| watch::channel(()).0).subscribe()
    }
}

impl CommitWatch for Hub {
    fn touched(&self, workspace: &WorkspaceId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(workspace) {
            if sender.receiver_count() == 0 {
                waiting.remove(workspace);
            } else {
                sender.send_replace(());
            }
        }
    }

    fn ready(&self, hints: &[JobHint]) {
        if let Some(queue) = &self.queue {
            queue.offer(hints.iter().cloned());
        }
        self.ready.notify_one();
    }

    fn control(&self) {
        self.control.notify_one();
        self.changed.notify_one();
    }

    fn wants_hints(&self) -> bool {
        self.queue.is_some()
    }
}
