//! [`SeenKeys`] on Redis: a short-lived key of each idempotency key, named by its hash.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use orchestrator_core::queue::SeenKeys;
use orchestrator_core::store::KeyRoute;
use orchestrator_core::types::{IdempotencyKey, WorkspaceId};
use redis::{Value, cmd};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::keys::Keys;
use crate::place::Place;

/// Repeated requests come soon: what is older goes the usual way.
const KEPT: Duration = Duration::from_secs(10 * 60);
/// No request is held up longer.
const PATIENCE: Duration = Duration::from_millis(30);
/// Who did not answer is left alone for so long.
const REST: Duration = Duration::from_secs(1);
/// So many wait for being noted; further ones are not.
const WAITING: usize = 4_096;
const BATCH: usize = 64;

/// Idempotency keys that were used lately, known to all nodes.
pub struct RedisSeenKeys {
    place: Arc<Place>,
    keys: Keys,
    resting: Mutex<Option<Instant>>,
    notes: mpsc::Sender<String>,
    noting: AbortHandle,
}

impl RedisSeenKeys {
    pub(crate) fn new(place: Arc<Place>, keys: Keys) -> Self {
        let (notes, noted) = mpsc::channel(WAITING);
        let noting = tokio::spawn(note(Arc::downgrade(&place), noted)).abort_handle();
        Self { place, keys, resting: Mutex::default(), notes, noting }
    }

    fn rests(&self) -> bool {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until > Instant::now())
    }
}

impl Drop for RedisSeenKeys {
    fn drop(&mut self) {
        self.noting.abort();
    }
}

#[async_trait]
impl SeenKeys for RedisSeenKeys {
    async fn seen(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) -> bool {
        if self.rests() {
            return false;
        }
        let mut exists = cmd("EXISTS");
        exists.arg(self.keys.seen(workspace, route, key));
        if let Ok(Ok(found)) = timeout(PATIENCE, self.place.ask::<u8>(&exists)).await {
            return found > 0;
        }
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        false
    }

    fn note(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) {
        if !self.rests() {
            // What does not fit goes the usual way when it comes again.
            let _ = self.notes.try_send(self.keys.seen(workspace, route, key));
        }
    }
}

async fn note(place: Weak<Place>, mut noted: mpsc::Receiver<String>) {
    let mut batch = Vec::with_capacity(BATCH);
    while noted.recv_many(&mut batch, BATCH).await > 0 {
        let Some(place) = place.upgrade() else { return };
        let sets: Vec<_> = batch
            .drain(..)
            .map(|key| {
                let mut set = cmd("SET");
                set.arg(key).arg(1).arg("EX").arg(KEPT.as_secs());
                set
            })
            .collect();
        // One connection carries them all at once; what fails is not noted.
        join_all(sets.iter().map(|set| place.ask::<Value>(set))).await;
    }
}
