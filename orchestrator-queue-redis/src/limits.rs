//! [`TokenLeases`] on Redis: GCRA on the server's time, one number a limit, which goes when the limit is rested.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::policy::rate_limit::lease::{Lease, LeasesAway, SharedLimit, TokenLeases};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::keys::Keys;
use crate::place::{Away, Line, Place};
use crate::scripts;

/// So often a node says that it lives.
const BEAT: Duration = Duration::from_secs(3);
/// Who has not said so for so long is gone.
const GONE: Duration = Duration::from_secs(10);

/// Limits in Redis, shared by all nodes of an install.
pub struct RedisLimits {
    place: Arc<Place>,
    keys: Keys,
    nodes: Arc<AtomicU32>,
    beat: AbortHandle,
}

impl RedisLimits {
    pub(crate) fn new(place: Arc<Place>, keys: Keys) -> Self {
        let nodes = Arc::new(AtomicU32::new(1));
        let beat = tokio::spawn(beat(Arc::downgrade(&place), keys.install("nodes"), nodes.clone())).abort_handle();
        Self { place, keys, nodes, beat }
    }
}

impl Drop for RedisLimits {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

#[async_trait]
impl TokenLeases for RedisLimits {
    async fn lease(&self, limit: &SharedLimit, want: u32) -> Result<Lease, LeasesAway> {
        let micros = limit.period.max(Duration::from_nanos(1)).as_secs_f64() * 1e6;
        let mut script = scripts::LEASE.prepare_invoke();
        script.key(self.keys.limit(&limit.lane)).arg(micros).arg(limit.burst).arg(want);
        let (tokens, wait): (u32, u64) = self.place.run(Line::Prompt, &script).await.map_err(|error| {
            tracing::debug!(%error, "tokens cannot be leased now");
            LeasesAway
        })?;
        Ok(Lease { tokens, retry_after: Duration::from_micros(wait) })
    }

    fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed).max(1)
    }
}

/// Says that this node lives, and counts those that do. While Redis is away the last count holds.
async fn beat(place: Weak<Place>, key: String, nodes: Arc<AtomicU32>) {
    let node = format!("{:032x}", fastrand::u128(..));
    loop {
        let Some(held) = place.upgrade() else { return };
        let mut script = scripts::BEAT.prepare_invoke();
        script.key(&key).arg(&node).arg(GONE.as_millis() as u64);
        let counted: Result<u32, Away> = held.run(Line::Prompt, &script).await;
        drop(held);
        if let Ok(counted) = counted {
            nodes.store(counted, Ordering::Relaxed);
        }
        sleep(BEAT.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}
