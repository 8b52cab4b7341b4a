//! A queue in memory: for tests, and the plainest example of one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{JobId, Name, Timestamp, WorkspaceId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Finding, JobHint, JobQueue, Level, QueueAway, Take};
use crate::clock::Clock;
use crate::store::LaneKey;

/// More hints than this are not remembered.
const MOST: usize = 1_000_000;
/// Nothing is looked at more often.
const SOONEST: Duration = Duration::from_millis(1);

/// A queue inside a process. Share it in an `Arc`.
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    hints: Mutex<Hints>,
    news: Notify,
}

impl MemoryQueue {
    /// An empty queue that takes its time from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, hints: Mutex::default(), news: Notify::new() }
    }

    /// Forgets everything, as a place in memory does that is started again.
    pub fn lose(&self) {
        *self.locked() = Hints::default();
    }

    fn locked(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn offer(&self, hints: &[JobHint]) -> Result<(), QueueAway> {
        let mut held = self.locked();
        hints.iter().for_each(|hint| held.insert(hint));
        drop(held);
        self.news.notify_waiters();
        Ok(())
    }

    async fn take(&self, take: &Take) -> Result<Vec<JobHint>, QueueAway> {
        let until = Instant::now() + take.wait;
        loop {
            // Waits before it looks, so that nothing comes between.
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            let (taken, next) = {
                let (mut held, now) = (self.locked(), self.clock.now());
                held.wake(now);
                (held.take(take), held.next().map(|next| next.since(now)))
            };
            let left = until.saturating_duration_since(Instant::now());
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            tokio::select! {
                biased;
                () = news => {}
                () = sleep(next.map_or(left, |next| next.max(SOONEST).min(left))) => {}
            }
        }
    }

    async fn forget(&self, workspace: &WorkspaceId) -> Result<(), QueueAway> {
        self.locked().forget(workspace);
        Ok(())
    }

    async fn depth(&self) -> Result<u64, QueueAway> {
        Ok(self.locked().hints.len() as u64)
    }

    async fn check(&self) -> Result<Vec<Finding>, QueueAway> {
        Ok(vec![Finding { level: Level::Good, line: "the queue is in memory".to_owned() }])
    }
}

/// Where a hint stands among those of its lane.
type Place = (Reverse<u8>, Timestamp, JobId);
type Lane = (bool, Option<Name>);

#[derive(Default)]
struct Hints {
    hints: HashMap<(WorkspaceId, JobId), JobHint>,
    due: BTreeMap<WorkspaceId, BTreeMap<Lane, BTreeSet<Place>>>,
    later: BTreeSet<(Timestamp, WorkspaceId, JobId)>,
    /// Who was served last: the next turn begins after it.
    served: Option<WorkspaceId>,
}

impl Hints {
    fn insert(&mut self, hint: &JobHint) {
        let key = (hint.workspace.clone(), hint.job);
        if let Some(former) = self.hints.remove(&key) {
            self.later.remove(&(former.run_at, former.workspace.clone(), former.job));
            self.leave(&former);
        }
        if self.hints.len() < MOST {
            self.later.insert((hint.run_at, hint.workspace.clone(), hint.job));
            self.hints.insert(key, hint.clone());
        }
    }

    /// Takes a hint from among those that are due.
    fn leave(&mut self, hint: &JobHint) {
        let Some(lanes) = self.due.get_mut(&hint.workspace) else { return };
        if let Some(places) = lanes.get_mut(&lane(hint)) {
            places.remove(&place(hint));
        }
        lanes.retain(|_, places| !places.is_empty());
        if lanes.is_empty() {
            self.due.remove(&hint.workspace);
        }
    }

    fn wake(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, workspace, job)) = self.later.pop_first() else { break };
            if let Some(hint) = self.hints.get(&(workspace, job)) {
                let lanes = self.due.entry(hint.workspace.clone()).or_default();
                lanes.entry(lane(hint)).or_default().insert(place(hint));
            }
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _, _)| *at)
    }

    /// The workspaces with hints that are due, beginning after the one served last.
    fn turn(&self) -> Vec<WorkspaceId> {
        let Some(served) = &self.served else { return self.due.keys().cloned().collect() };
        let after = self.due.range::<WorkspaceId, _>((Bound::Excluded(served), Bound::Unbounded));
        let before = self.due.range::<WorkspaceId, _>((Bound::Unbounded, Bound::Included(served)));
        after.chain(before).map(|(workspace, _)| workspace.clone()).collect()
    }

    fn take(&mut self, take: &Take) -> Vec<JobHint> {
        let mut paused: HashSet<LaneKey> = take.paused.iter().cloned().collect();
        let mut limited: HashMap<LaneKey, usize> = take.limited.iter().cloned().collect();
        paused.extend(limited.iter().filter(|(_, left)| **left == 0).map(|(lane, _)| lane.clone()));
        let mut turn = self.turn();
        turn.retain(|workspace| !take.full.contains(workspace));
        let (mut taken, mut of_each) = (Vec::new(), HashMap::<WorkspaceId, usize>::new());
        while taken.len() < take.max && !turn.is_empty() {
            turn.retain(|workspace| {
                let weight = take.weights.get(workspace).copied().unwrap_or(1).max(1);
                for _ in 0..weight {
                    let of_it = of_each.entry(workspace.clone()).or_default();
                    if taken.len() >= take.max {
                        return true;
                    }
                    if *of_it >= take.per_workspace {
                        return false;
                    }
                    let Some(hint) = self.first(workspace, &paused) else { return false };
                    *of_it += 1;
                    self.served = Some(workspace.clone());
                    self.leave(&hint);
                    self.hints.remove(&(hint.workspace.clone(), hint.job));
                    if let Some(lane) = hint.lane()
                        && let Some(left) = limited.get_mut(&lane)
                    {
                        *left -= 1;
                        if *left == 0 {
                            paused.insert(lane);
                        }
                    }
                    taken.push(hint);
                }
                true
            });
        }
        taken
    }

    /// The hint of a workspace that is next, of lanes that are not paused.
    fn first(&self, workspace: &WorkspaceId, paused: &HashSet<LaneKey>) -> Option<JobHint> {
        let lanes = self.due.get(workspace)?.iter();
        let open = lanes.filter(|((delivery, target), _)| {
            let lane =
                target.clone().map(|target| LaneKey { workspace: workspace.clone(), delivery: *delivery, target });
            lane.is_none_or(|lane| !paused.contains(&lane))
        });
        let (_, _, job) = open.filter_map(|(_, places)| places.first()).min()?;
        self.hints.get(&(workspace.clone(), *job)).cloned()
    }

    fn forget(&mut self, workspace: &WorkspaceId) {
        self.hints.retain(|(of, _), _| of != workspace);
        self.later.retain(|(_, of, _)| of != workspace);
        self.due.remove(workspace);
    }
}

fn lane(hint: &JobHint) -> Lane {
    (hint.delivery, hint.target.clone())
}

fn place(hint: &JobHint) -> Place {
    (Reverse(hint.priority), hint.run_at, hint.job)
}
