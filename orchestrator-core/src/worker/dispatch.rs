//! The loops of the worker: claim, renew, rescue; and the drain that ends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use orchestrator_types::WorkspaceId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::WorkerOptions;
use super::hinted::Hinted;
use super::lanes::{Coming, Lanes};
use super::leases::Leases;
use super::outcome::lease;
use super::run::lane_of;
use super::settle::settle;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::store::{Claim, ClaimedJob, HeldLease, JobRecord, Outcome, PayloadLinks, Settlement, StoreError};

/// So often an idle worker looks by itself, for what it was not told of.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// So often expired leases are looked for.
const RESCUE: Duration = Duration::from_secs(5);
const RESCUED: usize = 500;
/// So often a job that lost a lease is looked for, to be run alone.
const QUARANTINE: Duration = Duration::from_secs(1);
const CLAIMED: usize = 256;
/// So soon it is looked again for what is due and was not to be had.
const DUE: Duration = Duration::from_millis(50);

/// A node's worker.
pub(super) struct Worker {
    pub(super) engine: Arc<Engine>,
    pub(super) options: WorkerOptions,
    pub(super) leases: Leases,
    pub(super) lanes: Lanes,
    settler: mpsc::Sender<Settlement>,
    attempts: TaskTracker,
    /// Those that take leases: the dispatcher and the rescuer.
    takers: TaskTracker,
}

/// Starts the worker's tasks. They end when the engine drains.
pub(crate) fn start(engine: &Arc<Engine>, options: WorkerOptions) {
    let (settler, settlements) = mpsc::channel(1_024);
    let worker = Arc::new(Worker {
        engine: engine.clone(),
        options,
        leases: Leases::default(),
        lanes: Lanes::default(),
        settler,
        attempts: TaskTracker::new(),
        takers: TaskTracker::new(),
    });
    let tasks = &engine.worker_tasks;
    let (dispatcher, renewer, rescuer) = (worker.clone(), worker.clone(), worker.clone());
    tasks.spawn(worker.takers.track_future(async move { dispatcher.dispatch().await }));
    tasks.spawn(worker.takers.track_future(async move { rescuer.rescue().await }));
    if let Some(queue) = engine.queue.clone() {
        let reconciler = worker.clone();
        tasks.spawn(async move { reconciler.reconcile(&queue).await });
    }
    tasks.spawn(async move { renewer.renew().await });
    tasks.spawn(async move {
        let ended = worker.engine.stopping.clone();
        tokio::select! {
            biased;
            () = settle(&worker, settlements) => {}
            () = async { worker.drained().await } => {}
            () = ended.cancelled() => {}
        }
    });
}

impl Worker {
    pub(super) fn draining(&self) -> bool {
        self.engine.draining.is_cancelled()
    }

    /// Ends when the engine drains and nothing is held any more.
    async fn drained(&self) {
        self.engine.draining.cancelled().await;
        // A claim may be under way: what it brings is to be given back.
        self.takers.close();
        self.takers.wait().await;
        self.attempts.close();
        self.attempts.wait().await;
        while self.leases.len() > 0 {
            // A wake-up may be taken by the dispatcher: look again by ourselves too.
            let _ = timeout(Duration::from_millis(50), self.leases.freed.notified()).await;
        }
    }

    async fn dispatch(self: &Arc<Self>) {
        let mut pause = Duration::from_millis(50);
        let mut quarantine_at = Instant::now();
        let mut hints = Hinted::default();
        while !self.draining() {
            let mut worked = false;
            let free = self.options.slots.saturating_sub(self.leases.len());
            if free > 0 {
                match self.next(free.min(CLAIMED), &mut hints, quarantine_at).await {
                    Ok(found) => {
                        worked = found;
                        pause = Duration::from_millis(50);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "jobs cannot be claimed now");
                        self.idle(pause.mul_f64(0.5 + fastrand::f64())).await;
                        pause = (pause * 2).min(Duration::from_secs(2));
                        continue;
                    }
                }
            }
            if Instant::now() >= quarantine_at {
                quarantine_at = Instant::now() + QUARANTINE;
                self.quarantine().await;
            }
            // Where there is a queue, it was waited for.
            if self.leases.len() >= self.options.slots || !(worked || self.hinted()) {
                self.wait().await;
            }
        }
        self.drain().await;
    }

    /// Which workspaces have as many running as they may, and how many more each of the others may have.
    pub(super) fn room(&self) -> (Vec<WorkspaceId>, usize) {
        let (running, limit) = (self.leases.by_workspace(), self.options.per_workspace);
        let full = running.iter().filter(|(_, count)| **count >= limit);
        let most = running.values().copied().filter(|count| *count < limit).max().unwrap_or(0);
        (full.map(|(workspace, _)| workspace.clone()).collect(), limit - most)
    }

    /// Claims up to `max` jobs of those that the store has ready, and starts them. Says how many, and whether it may have more.
    pub(super) async fn claim(self: &Arc<Self>, max: usize) -> Result<(usize, bool), StoreError> {
        let (full, per_workspace) = self.room();
        let limits = self.lanes.limits(max);
        let claim = Claim {
            owner: self.engine.node.clone(),
            max,
            per_workspace,
            lease: self.options.lease,
            quarantine: false,
            paused: limits.paused,
            limited: limits.limited,
            full,
        };
        let asked = Instant::now();
        let jobs = self.engine.store.claim(claim).await?;
        let more = jobs.len() >= max || jobs.len() >= per_workspace && most_of_one(&jobs) >= per_workspace;
        Ok((self.begin(jobs, asked).await, more))
    }

    /// Starts what was claimed; gives it back if the node stops. Answers how many.
    pub(super) async fn begin(self: &Arc<Self>, jobs: Vec<ClaimedJob>, asked: Instant) -> usize {
        let count = jobs.len();
        for job in jobs {
            if self.draining() {
                let held = lease(&job.record);
                self.leases.hold(held.clone(), asked);
                self.hand_in(given_back(held)).await;
            } else {
                self.start(job.record, asked);
            }
        }
        count
    }

    fn start(self: &Arc<Self>, record: JobRecord, asked: Instant) {
        self.leases.hold(lease(&record), asked);
        self.work(record);
    }

    /// Makes the attempt of a job whose lease is held.
    fn work(self: &Arc<Self>, record: JobRecord) {
        let (held, worker) = (lease(&record), self.clone());
        let coming = Coming::new(self.clone(), lane_of(&record));
        let task = self.attempts.spawn(async move { worker.attempt(record, coming).await });
        self.leases.works(&held, task.abort_handle());
    }

    async fn attempt(&self, record: JobRecord, coming: Coming) {
        let running = &self.engine.worker.0.running;
        running.fetch_add(1, Ordering::Relaxed);
        let guard = Running(running);
        // A connector that panics fails its own attempt, and leaves the lease to end by itself.
        let result = std::panic::AssertUnwindSafe(self.run(&record, coming)).catch_unwind().await;
        drop(guard);
        match result {
            Ok(settlement) => self.hand_in(settlement).await,
            Err(_) => {
                tracing::error!(workspace = %record.workspace, job = %record.job.id, "an attempt panicked: its lease is left to end");
                self.leases.lose(&lease(&record));
            }
        }
    }

    async fn hand_in(&self, settlement: Settlement) {
        let lease = settlement.lease.clone();
        if self.settler.send(settlement).await.is_err() {
            self.leases.lose(&lease);
        }
    }

    /// Runs jobs that lost a lease, each alone: nothing else of this node is to go down with them. Not for long at a time:
    /// what never lost a lease waits meanwhile.
    async fn quarantine(self: &Arc<Self>) {
        let until = Instant::now() + QUARANTINE;
        while !self.draining() && Instant::now() < until {
            let claim = Claim {
                owner: self.engine.node.clone(),
                max: 1,
                per_workspace: 1,
                lease: self.options.lease,
                quarantine: true,
                paused: self.lanes.limits(1).paused,
                limited: Vec::new(),
                full: Vec::new(),
            };
            let asked = Instant::now();
            let jobs = match self.engine.store.claim(claim).await {
                Ok(jobs) => jobs,
                Err(error) => return tracing::warn!(%error, "quarantined jobs cannot be claimed now"),
            };
            let Some(job) = jobs.into_iter().next() else { return };
            let held = lease(&job.record);
            self.leases.hold(held.clone(), asked);
            while self.leases.len() > 1 && self.leases.holds(&held) && !self.draining() {
                self.freed(Duration::from_millis(100)).await;
            }
            // Lost while it waited: it is somebody else's now.
            if !self.leases.holds(&held) {
                continue;
            }
            if self.draining() {
                return self.hand_in(given_back(held)).await;
            }
            self.work(job.record);
            while self.leases.holds(&held) && !self.draining() {
                self.freed(Duration::from_millis(100)).await;
            }
        }
    }

    async fn freed(&self, longest: Duration) {
        // Either way the caller looks for itself.
        let _ = timeout(longest, self.leases.freed.notified()).await;
    }

    /// Waits for something to do: a job, a free slot, a time that comes.
    async fn wait(&self) {
        let due = self.engine.store.next_due().await.ok().flatten();
        let now = self.engine.store_time.now();
        // What is due already was not to be had just now: its lane, its workspace or this node is full.
        let due = due.map(|due| if due > now { due.since(now) } else { DUE });
        let mut longest = LOOK.mul_f64(0.75 + fastrand::f64() / 4.0);
        for sooner in [due, self.lanes.next()].into_iter().flatten() {
            longest = longest.min(sooner.max(Duration::from_millis(1)));
        }
        self.idle(longest).await;
    }

    async fn idle(&self, longest: Duration) {
        tokio::select! {
            biased;
            () = self.engine.hub.ready.notified() => {}
            () = self.leases.freed.notified() => {}
            () = sleep(longest) => {}
            () = self.engine.draining.cancelled() => {}
        }
    }

    /// Renews what is held, and stops what can no longer be trusted.
    async fn renew(&self) {
        let third = self.options.lease / 3;
        let mut next = Instant::now() + third;
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => {}
                () = self.drained() => return,
                () = self.engine.stopping.cancelled() => return,
            }
            let held = self.leases.all();
            let asked = Instant::now();
            let lease = self.options.lease;
            let answer = match held.is_empty() {
                true => Ok(Ok(Vec::new())),
                // Half of it, so that a store that hangs is found out before the leases end.
                false => timeout(third / 2, self.engine.store.renew(held.clone(), lease)).await,
            };
            next = asked + third;
            match answer {
                Ok(Ok(lost)) => {
                    let kept: Vec<_> = held.into_iter().filter(|lease| !lost.contains(lease)).collect();
                    self.leases.renewed(&kept, asked);
                    lost.iter().for_each(|lease| self.leases.lose(lease));
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "leases are not renewed yet");
                    next = asked + third / 10;
                }
                Err(_) => {
                    tracing::warn!("the store did not renew leases in time");
                    next = Instant::now();
                }
            }
            for lease in self.leases.overdue(self.options.lease * 2 / 3) {
                tracing::warn!(workspace = %lease.workspace, job = %lease.job, "a lease could not be renewed: its attempt is stopped");
                self.leases.lose(&lease);
            }
        }
    }

    /// Makes jobs whose worker is gone ready again.
    async fn rescue(self: &Arc<Self>) {
        loop {
            match self.engine.store.rescue(&self.engine.node, self.options.lease, RESCUED).await {
                Ok((count, poisoned)) => {
                    let lost = (count + poisoned.len()) as u64;
                    if lost > 0 {
                        self.engine.worker.0.lost.fetch_add(lost, Ordering::Relaxed);
                        tracing::warn!(lost, poisoned = poisoned.len(), "leases were lost");
                    }
                    for job in poisoned {
                        self.leases.hold(lease(&job.record), Instant::now());
                        let settlement = self.poison(&job.record).await;
                        self.hand_in(settlement).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "lost leases cannot be looked for now"),
            }
            tokio::select! {
                biased;
                () = sleep(RESCUE.mul_f64(0.75 + fastrand::f64() / 4.0)) => {}
                () = self.engine.draining.cancelled() => return,
            }
        }
    }

    /// Lets what runs finish, up to the drain's time; gives the rest back, so that no lease waits for its end.
    async fn drain(&self) {
        self.attempts.close();
        if timeout(self.options.drain, self.attempts.wait()).await.is_ok() {
            return;
        }
        let rest = self.leases.all();
        tracing::warn!(count = rest.len(), "running jobs are given back");
        for held in rest {
            self.leases.lose(&held);
            self.leases.hold(held.clone(), Instant::now());
            self.hand_in(given_back(held)).await;
        }
    }
}

/// How many of the jobs are of the workspace that has the most of them.
fn most_of_one(jobs: &[ClaimedJob]) -> usize {
    let mut counts = HashMap::new();
    for job in jobs {
        *counts.entry(&job.record.workspace).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

/// The end of an attempt that was not made.
fn given_back(lease: HeldLease) -> Settlement {
    let outcome = Outcome::GiveBack { run_at: None };
    Settlement { lease, outcome, events: Vec::new(), request: None, delivery: None, payloads: PayloadLinks::default() }
}

/// Counts a running attempt, also when it is aborted.
struct Running<'a>(&'a std::sync::atomic::AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
