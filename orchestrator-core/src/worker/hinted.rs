//! Work by hints: what the queue says may be ready is claimed in the store by name.
//!
//! A hint that cannot be followed now costs no attempt: that of a lane without room goes back to the queue until it may have
//! some, and one whose time came only just now is tried again in a moment, as the store's clock may be behind the queue's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::JobId;
use tokio::time::Instant;

use super::dispatch::{LOOK, Worker};
use super::lanes::Limits;
use crate::queue::{JobHint, Link, Take};
use crate::store::{ClaimNamed, LaneKey, StoreError};

/// So soon after its time a job may be early by the store's clock.
const JUST: Duration = Duration::from_secs(1);
/// When those are tried again. After that they are left to the reconciler.
const AGAIN: [Duration; 3] = [Duration::from_millis(10), Duration::from_millis(100), Duration::from_millis(1_000)];
/// More are not tried again at once.
const EARLY: usize = 1_024;
/// What was hinted at and has no room is not offered to anybody before this.
const NO_ROOM: Duration = Duration::from_millis(50);
/// The queue is not waited for longer.
const LONGEST: Duration = Duration::from_secs(5);

/// What a dispatcher remembers between hints.
pub(super) struct Hinted {
    /// When the store is asked whether it has what the queue does not know of.
    look_at: Instant,
    /// Those that may have been early: when they are tried, and how often they were.
    early: Vec<(Instant, usize, JobHint)>,
}

impl Default for Hinted {
    fn default() -> Self {
        Self { look_at: Instant::now(), early: Vec::new() }
    }
}

impl Worker {
    fn queue(&self) -> Option<&Arc<Link>> {
        self.engine.queue.as_ref().filter(|queue| queue.serves())
    }

    /// Whether there is a queue that answers.
    pub(super) fn hinted(&self) -> bool {
        self.queue().is_some()
    }

    /// Starts up to `max` jobs: those that the queue hints at, for which it is waited until `until` at most; or else those
    /// that the store has. Says whether there may be more to do.
    pub(super) async fn next(
        self: &Arc<Self>,
        max: usize,
        hints: &mut Hinted,
        until: Instant,
    ) -> Result<bool, StoreError> {
        let Some(queue) = self.queue() else { return Ok(self.claim(max).await?.1) };
        let early = hints.due(max);
        if !early.is_empty() {
            self.follow(queue, hints, early).await?;
            return Ok(true);
        }
        let taken = self.take(queue, max, hints, until).await;
        match taken {
            Some(taken) if !taken.is_empty() => {
                let taken = taken.into_iter().map(|hint| (0, hint)).collect();
                self.follow(queue, hints, taken).await?;
                Ok(true)
            }
            // It was interrupted, or there is nothing to be had yet.
            Some(_) if self.draining() || Instant::now() < hints.look_at => Ok(false),
            // An idle worker asks the store: what the queue forgot is not left to wait for being offered again.
            _ => {
                let (count, _) = self.claim(max).await?;
                hints.look_at = Instant::now();
                if count == 0 {
                    hints.look_at += LOOK.mul_f64(0.75 + fastrand::f64() / 2.0);
                }
                Ok(count > 0)
            }
        }
    }

    /// Takes hints; `None` if the queue is away.
    async fn take(&self, queue: &Link, max: usize, hints: &Hinted, until: Instant) -> Option<Vec<JobHint>> {
        let now = Instant::now();
        let (full, per_workspace) = self.room();
        let Limits { paused, limited } = self.lanes.limits(max);
        let first = hints.early.iter().map(|(at, _, _)| *at).min();
        let soonest = [Some(hints.look_at), Some(until), first].into_iter().flatten().min().unwrap_or(now);
        let wait = soonest.saturating_duration_since(now).min(self.lanes.next().unwrap_or(LONGEST)).min(LONGEST);
        // A job that ends may make room where there is none.
        let barred = !(full.is_empty() && paused.is_empty() && limited.is_empty());
        let weights = self.options.weights.clone();
        let take = Take { max, per_workspace, wait, paused, limited, full, weights };
        tokio::select! {
            biased;
            taken = queue.take(&take) => taken,
            () = self.leases.freed.notified(), if barred => Some(Vec::new()),
            () = self.engine.draining.cancelled() => Some(Vec::new()),
        }
    }

    /// Claims what was hinted at and has room, and starts it.
    async fn follow(
        self: &Arc<Self>,
        queue: &Link,
        hints: &mut Hinted,
        taken: Vec<(usize, JobHint)>,
    ) -> Result<(), StoreError> {
        let wanted = self.with_room(queue, taken);
        if wanted.is_empty() {
            return Ok(());
        }
        let jobs = wanted.iter().map(|(_, hint)| (hint.workspace.clone(), hint.job)).collect();
        let claim = ClaimNamed { owner: self.engine.node.clone(), lease: self.options.lease, jobs };
        let asked = Instant::now();
        match self.engine.store.claim_named(claim).await {
            Ok(jobs) => {
                let had: HashSet<JobId> = jobs.iter().map(|job| job.record.job.id).collect();
                let now = self.engine.clock.now();
                let missed = wanted.into_iter().filter(|(_, hint)| !had.contains(&hint.job));
                hints.again(missed.filter(|(_, hint)| now.since(hint.run_at) <= JUST));
                self.begin(jobs, asked).await;
                Ok(())
            }
            Err(error) => {
                queue.offer(wanted.into_iter().map(|(_, hint)| hint));
                Err(error)
            }
        }
    }

    /// Those whose lane has room. The others go back to the queue until it may have some.
    fn with_room(&self, queue: &Link, taken: Vec<(usize, JobHint)>) -> Vec<(usize, JobHint)> {
        let Limits { paused, limited } = self.lanes.limits(taken.len());
        if paused.is_empty() && limited.is_empty() {
            return taken;
        }
        let mut room: HashMap<LaneKey, usize> = limited.into_iter().collect();
        room.extend(paused.into_iter().map(|lane| (lane, 0)));
        let (mut wanted, mut waiting) = (Vec::with_capacity(taken.len()), Vec::new());
        for (tried, hint) in taken {
            let lane = hint.lane();
            match lane.as_ref().and_then(|lane| Some((lane, room.get_mut(lane)?))) {
                Some((lane, 0)) => {
                    let wait = self.lanes.wait(lane).unwrap_or(NO_ROOM).max(NO_ROOM);
                    waiting.push(JobHint { run_at: self.engine.clock.now().after(wait), ..hint });
                }
                Some((_, left)) => {
                    *left -= 1;
                    wanted.push((tried, hint));
                }
                None => wanted.push((tried, hint)),
            }
        }
        queue.offer(waiting);
        wanted
    }
}

impl Hinted {
    /// Those that are to be tried again now.
    fn due(&mut self, max: usize) -> Vec<(usize, JobHint)> {
        let now = Instant::now();
        let mut due = Vec::new();
        self.early.retain(|(at, tried, hint)| {
            let keep = *at > now || due.len() >= max;
            if !keep {
                due.push((*tried, hint.clone()));
            }
            keep
        });
        due
    }

    fn again(&mut self, missed: impl Iterator<Item = (usize, JobHint)>) {
        let now = Instant::now();
        for (tried, hint) in missed {
            if let Some(wait) = AGAIN.get(tried).filter(|_| self.early.len() < EARLY) {
                self.early.push((now + *wait, tried + 1, hint));
            }
        }
    }
}
