//! Times: the one that is true, the store's; and those of nodes, which may lie.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::types::Timestamp;
use tokio::time::Instant;

/// A moment of January 2027.
const START_MS: i64 = 1_800_000_000_000;

/// The true time: that of the node that runs just now, and never less than it was.
#[derive(Default)]
pub struct Truth {
    now: AtomicI64,
    running: Mutex<Option<(Instant, i64)>>,
}

impl Truth {
    /// Since the beginning, in milliseconds.
    pub fn elapsed(&self) -> i64 {
        if let Some((origin, at)) = *self.running.lock().unwrap() {
            let here = at + i64::try_from(origin.elapsed().as_millis()).unwrap();
            self.now.fetch_max(here, Ordering::SeqCst);
        }
        self.now.load(Ordering::SeqCst)
    }

    /// From now on a node runs whose own time began at `origin`, at the true time `at`.
    pub fn enter(&self, origin: Instant, at: i64) {
        *self.running.lock().unwrap() = Some((origin, at));
    }

    /// No node runs: it is `at`.
    pub fn leave(&self, at: i64) {
        *self.running.lock().unwrap() = None;
        self.now.fetch_max(at, Ordering::SeqCst);
    }
}

impl Clock for Truth {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(START_MS + self.elapsed())
    }
}

/// A node's clock: off by so much.
pub struct Lying {
    truth: Arc<Truth>,
    off: AtomicI64,
}

impl Lying {
    pub fn new(truth: Arc<Truth>, off_ms: i64) -> Arc<Self> {
        Arc::new(Self { truth, off: AtomicI64::new(off_ms) })
    }

    /// Jumps.
    pub fn jump(&self, by_ms: i64) {
        self.off.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for Lying {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.truth.now().unix_ms() + self.off.load(Ordering::SeqCst))
    }
}

pub fn ms(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}
