//! A node: an engine on a runtime of its own, whose time goes only while the run lets it. Dropping the runtime is a crash: every
//! task ends at whichever await it stands.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_conformance::faults::{FaultPlan, Faults, FaultyQueue, FaultyStore, Rates};
use orchestrator_core::Orchestrator;
use orchestrator_core::queue::JobQueue;
use orchestrator_core::secrets::EnvSecrets;
use orchestrator_core::store::{Around, AroundCall, Store, StoreCall, StoreError};
use orchestrator_core::worker::WorkerOptions;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::lookup;
use crate::outside::Outside;
use crate::time::{Lying, Truth, ms};

/// Short, so that runs are: everything follows from it as from any other.
pub const LEASE: Duration = Duration::from_secs(3);

/// What nodes share.
#[derive(Clone)]
pub struct World {
    pub store: Arc<dyn Store>,
    pub queue: Option<Arc<dyn JobQueue>>,
    pub outside: Outside,
    pub truth: Arc<Truth>,
}

pub struct Node {
    runtime: Runtime,
    pub engine: Orchestrator,
    pub clock: Arc<Lying>,
    pub faults: Faults,
    doom: Doom,
    truth: Arc<Truth>,
    /// When its own time began, and what was the true time then.
    origin: Instant,
    began: i64,
    /// Until when it does not run.
    pub paused_until: i64,
}

impl Node {
    /// Starts a node at the true time `now`.
    pub fn start(
        World { store, queue, outside, truth }: World,
        now: i64,
        off_ms: i64,
        seed: u64,
        rates: Rates,
    ) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (clock, doom) = (Lying::new(truth.clone(), off_ms), Doom::default());
        let plan = FaultPlan::new(seed, rates).latest(Duration::from_millis(400));
        // What becomes ready is often missed: nobody may depend on hearing of it.
        let plan = plan.on("ready", Rates { before: 0.3, ..Rates::NONE });
        let faults = Faults::new(plan);
        faults.stop();
        let builder = Orchestrator::builder()
            .environment("dev")
            .store(Arc::new(Around::new(FaultyStore::new(store, faults.clone()), doom.clone())))
            .connector(outside.clone())
            .callbacks(Arc::new(outside))
            .env(EnvSecrets::with_lookup(lookup))
            .clock(clock.clone())
            .worker(WorkerOptions {
                slots: 8,
                per_workspace: 6,
                lease: LEASE,
                drain: Duration::from_secs(1),
                ..WorkerOptions::default()
            });
        let builder = match queue {
            Some(queue) => builder.queue(Arc::new(FaultyQueue::new(queue, faults.clone()))),
            None => builder,
        };
        let (origin, engine) = runtime.block_on(async {
            let origin = Instant::now();
            truth.enter(origin, now);
            (origin, builder.build().await.unwrap())
        });
        truth.leave(now);
        Self { runtime, engine, clock, faults, doom, truth, origin, began: now, paused_until: 0 }
    }

    /// Lets it run until the true time `until`. `false`: it crashed on the way.
    pub fn run(&self, until: i64) -> bool {
        let alive = self.runtime.block_on(async {
            self.truth.enter(self.origin, self.began);
            let at = self.origin + ms(until - self.began);
            tokio::select! {
                biased;
                () = self.doom.came.notified() => false,
                () = tokio::time::sleep_until(at) => true,
            }
        });
        self.truth.leave(until);
        alive
    }

    /// It stood still, as a process does that was stopped; now everything is as late as the true time `now` says.
    pub fn wake(&self, now: i64) {
        self.runtime.block_on(async {
            let behind = self.origin + ms(now - self.began) - Instant::now();
            self.truth.enter(self.origin, self.began);
            tokio::time::advance(behind).await;
        });
        self.truth.leave(now);
    }

    /// Runs something on it, for as long as it lives.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Its process will end at its `calls`-th next call of the store: before it, or with the answer on its way.
    pub fn doom(&self, calls: i64) {
        self.doom.calls.store(calls, Ordering::SeqCst);
    }
}

/// Ends a process in the middle of a call.
#[derive(Clone, Default)]
struct Doom {
    came: Arc<Notify>,
    /// How many calls are left; the last bit says whether that one is made. 0: no doom.
    calls: Arc<AtomicI64>,
}

#[async_trait]
impl AroundCall for Doom {
    async fn around<T: Send + 'static>(&self, _: &'static str, call: StoreCall<'_, T>) -> Result<T, StoreError> {
        match self.calls.load(Ordering::SeqCst) {
            0 => call.await,
            last @ 1..=2 => {
                if last == 2 {
                    let _ = call.await;
                }
                self.came.notify_one();
                pending().await
            }
            _ => {
                self.calls.fetch_sub(2, Ordering::SeqCst);
                call.await
            }
        }
    }
}
