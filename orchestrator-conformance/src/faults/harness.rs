//! Any backend of a suite, on a bad day.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::payload::PayloadStore;
use orchestrator_core::store::Store;

use super::{FaultPlan, Faults, FaultyPayloads, FaultyStore, Rates, RetryingPayloads, RetryingStore};
use crate::ManualClock;
use crate::payload::PayloadHarness;
use crate::store::StoreHarness;

/// More than every third call fails.
const RATES: Rates = Rates { before: 0.08, after: 0.15, late: 0.02, never: 0.05, cancelled: 0.08 };

/// A harness whose stores fail, and whose callers repeat what failed.
///
/// The seed is that of the variable `SEED`, or follows from the name of the test. A test that fails prints it.
pub struct UnderFaults<H> {
    harness: H,
    faults: Faults,
    stores: Within<dyn Store>,
    payloads: Within<dyn PayloadStore>,
}

impl<H> UnderFaults<H> {
    /// Puts faults over the stores of a harness.
    pub fn new(harness: H) -> Self {
        let plan = FaultPlan::new(seed(), RATES).latest(Duration::from_millis(2));
        // A hint that is lost is no answer that anybody could ask for again.
        let plan = ["touched", "ready", "control"].into_iter().fold(plan, |plan, hint| plan.on(hint, Rates::NONE));
        let faults = Faults::new(plan);
        Self { harness, faults, stores: Within::default(), payloads: Within::default() }
    }

    fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let faulty = FaultyStore::new(Arc::clone(&store), self.faults.clone());
        self.stores.keep(Arc::new(RetryingStore::new(faulty)), store)
    }

    fn payloads(&self, store: Arc<dyn PayloadStore>) -> Arc<dyn PayloadStore> {
        let faulty = FaultyPayloads::new(Arc::clone(&store), self.faults.clone());
        self.payloads.keep(Arc::new(RetryingPayloads::new(Arc::new(faulty))), store)
    }
}

fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        std::thread::current().name().unwrap_or_default().hash(&mut hasher);
        hasher.finish() % 1_000_000
    })
}

impl<H> Drop for UnderFaults<H> {
    #[allow(clippy::print_stdout, reason = "a test that fails tells its seed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.faults.log();
            println!(
                "SEED={}: {} faults were injected, the last of them {:?}",
                self.faults.seed(),
                log.len(),
                log.last()
            );
        }
    }
}

/// What lies within each decorated thing that was handed out, by the place of that.
struct Within<T: ?Sized>(Mutex<HashMap<usize, Arc<T>>>);

impl<T: ?Sized> Default for Within<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: ?Sized> Within<T> {
    fn keep(&self, outer: Arc<T>, inner: Arc<T>) -> Arc<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place(&outer), inner);
        outer
    }

    fn take(&self, outer: &Arc<T>) -> Arc<T> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&place(outer));
        inner.expect("it was handed out here")
    }
}

fn place<T: ?Sized>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).cast::<()>().addr()
}

#[async_trait]
impl<H: StoreHarness> StoreHarness for UnderFaults<H> {
    async fn store(&self) -> Arc<dyn Store> {
        Self::store(self, self.harness.store().await)
    }

    fn clock(&self) -> &ManualClock {
        self.harness.clock()
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        let inner = self.stores.take(&store);
        drop(store);
        let opened = self.harness.reopen(inner).await?;
        Some(Self::store(self, opened))
    }
}

#[async_trait]
impl<H: PayloadHarness> PayloadHarness for UnderFaults<H> {
    async fn store(&self) -> Arc<dyn PayloadStore> {
        self.payloads(self.harness.store().await)
    }

    async fn reopen(&self, store: Arc<dyn PayloadStore>) -> Option<Arc<dyn PayloadStore>> {
        let inner = self.payloads.take(&store);
        drop(store);
        let opened = self.harness.reopen(inner).await?;
        Some(self.payloads(opened))
    }
}

/// Proves a store on a bad day: every behaviour of [`store_conformance!`](crate::store_conformance) once more, in a module
/// `under_faults`, on stores whose calls fail by a seed and are repeated with the same ids, keys and fences.
///
/// Takes an expression that makes a [`StoreHarness`](crate::store::StoreHarness), as that one does.
#[macro_export]
macro_rules! store_conformance_under_faults {
    ($harness:expr) => {
        mod under_faults {
            #[allow(unused_imports, reason = "what the harness expression names")]
            use super::*;

            $crate::store_conformance!($crate::faults::UnderFaults::new($harness));
        }
    };
}

/// The same for a payload store.
#[macro_export]
macro_rules! payload_conformance_under_faults {
    ($harness:expr) => {
        mod under_faults {
            #[allow(unused_imports, reason = "what the harness expression names")]
            use super::*;

            $crate::payload_conformance!($crate::faults::UnderFaults::new($harness));
        }
    };
}
