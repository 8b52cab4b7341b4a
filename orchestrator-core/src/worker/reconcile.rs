//! Offers again what the store has ready and nobody runs: the queue may forget everything at any moment. Every node does it,
//! a page at a time; of each lane only as many as keep workers busy until the next round.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::dispatch::Worker;
use crate::queue::Link;

/// A round begins so long after the last one: what was forgotten waits no longer than ten seconds, whatever the load.
const EVERY: Duration = Duration::from_secs(6);
/// So many workspaces are a page.
const WORKSPACES: usize = 32;
/// So many jobs of each lane are offered; and so many, when a round has offered a lot already.
const DEEP: usize = 256;
const SHALLOW: usize = 16;
const A_LOT: usize = 20_000;
/// A page that takes longer than this is given up.
const PATIENCE: Duration = Duration::from_secs(5);

impl Worker {
    /// Offers until the engine drains.
    pub(super) async fn reconcile(&self, queue: &Link) {
        loop {
            tokio::select! {
                biased;
                () = sleep(EVERY.mul_f64(0.75 + fastrand::f64() / 4.0)) => {}
                () = queue.returned.notified() => {}
                () = self.engine.draining.cancelled() => return,
            }
            tokio::select! {
                biased;
                () = self.round(queue) => {}
                () = self.engine.draining.cancelled() => return,
            }
        }
    }

    async fn round(&self, queue: &Link) {
        let (mut after, mut offered) = (None, 0);
        while queue.serves() {
            let each = if offered < A_LOT { DEEP } else { SHALLOW };
            let heads = self.engine.store.ready_heads(after.as_ref(), WORKSPACES, each);
            let heads = match timeout(PATIENCE, heads).await {
                Ok(Ok(heads)) => heads,
                Ok(Err(error)) => return tracing::warn!(%error, "what is ready cannot be looked for now"),
                Err(_) => return tracing::warn!("the store did not say in time what is ready"),
            };
            let Some(last) = heads.last() else { return };
            after = Some(last.workspace.clone());
            offered += heads.len();
            if !queue.offer_now(&heads).await {
                return;
            }
        }
    }
}
