//! Lanes: jobs that share a policy. What a lane's limits would not admit now stays in the store, so that it takes no slot,
//! is not claimed in vain, and holds up nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::dispatch::Worker;
use crate::policy::PolicyState;
use crate::policy::breaker::BreakerStatus;
use crate::store::LaneKey;

/// A claim names at most so many; the others are given back when they are met.
const NAMED: usize = 256;
/// At most so many are remembered.
const KNOWN: usize = 4_096;
/// A lane that nothing was heard of for so long is forgotten when there are too many.
const QUIET: Duration = Duration::from_secs(60);
/// They are looked for no more often.
const SWEEP: Duration = Duration::from_secs(1);
/// A bulkhead that calls of others fill is looked at so often; that a job of ours left it is told.
const BUSY: Duration = Duration::from_millis(250);
/// Nothing is looked at more often.
const SOONEST: Duration = Duration::from_millis(5);
/// Retries that the budget refused come back one after the other, as its floor lets them, and after so long at the latest.
const RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What is known of the lanes that were met.
#[derive(Default)]
pub(super) struct Lanes(Mutex<Known>);

#[derive(Default)]
struct Known {
    lanes: HashMap<LaneKey, Lane>,
    sweep_at: Option<Instant>,
}

impl Known {
    /// Makes room for another lane, if there is none and some may be forgotten. Says whether there is room.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.lanes.len() >= KNOWN && self.sweep_at.is_none_or(|at| now >= at) {
            self.lanes.retain(|_, lane| lane.coming > 0 || lane.paused > now || now - lane.heard_of < QUIET);
            self.sweep_at = Some(now + SWEEP);
        }
        self.lanes.len() < KNOWN
    }
}

struct Lane {
    paused: Instant,
    state: Option<Arc<PolicyState>>,
    /// Claimed, and not yet judged by the limits.
    coming: usize,
    retry_at: Instant,
    heard_of: Instant,
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self { paused: now, state: None, coming: 0, retry_at: now, heard_of: now }
    }

    /// How many more calls the limits would admit now; `None` if nothing limits them.
    fn room(&self) -> Option<usize> {
        let state = self.state.as_ref()?;
        let tokens = state.limiter().map(|limiter| limiter.room());
        let places = state.bulkhead().map(|places| places.max().saturating_sub(places.in_flight()));
        let probes = state.breaker_snapshot().and_then(|breaker| match breaker.status {
            BreakerStatus::Closed => None,
            // Probes go one by one: a job that the breaker refuses was claimed in vain.
            _ => Some(u32::from(breaker.retry_after.is_zero())),
        });
        let least = [tokens, places, probes].into_iter().flatten().min()?;
        Some(usize::try_from(least).unwrap_or(usize::MAX).saturating_sub(self.coming))
    }

    /// How long until it may have room.
    fn wait(&self, now: Instant) -> Option<Duration> {
        if self.paused > now {
            return Some(self.paused - now);
        }
        if self.room()? > 0 {
            return None;
        }
        Some(self.state.as_ref()?.lane_wait().unwrap_or(BUSY).max(SOONEST))
    }
}

/// What a claim is to leave.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) paused: Vec<LaneKey>,
    pub(super) limited: Vec<(LaneKey, usize)>,
}

impl Lanes {
    fn locked(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, lane: &LaneKey, change: impl FnOnce(&mut Lane, Instant) -> T) -> Option<T> {
        let (now, mut known) = (Instant::now(), self.locked());
        if !known.lanes.contains_key(lane) && !known.has_room(now) {
            return None;
        }
        let lane = known.lanes.entry(lane.clone()).or_insert_with(|| Lane::new(now));
        lane.heard_of = now;
        Some(change(lane, now))
    }

    /// Leaves a lane alone for a while.
    pub(super) fn pause(&self, lane: &LaneKey, wait: Duration) {
        self.change(lane, |lane, now| lane.paused = now + wait);
    }

    /// Remembers by what a lane is limited.
    pub(super) fn meet(&self, lane: &LaneKey, state: &Arc<PolicyState>) {
        self.change(lane, |lane, _| lane.state = Some(state.clone()));
    }

    /// When the next retry of a lane whose budget is spent may ask again.
    pub(super) fn retry_turn(&self, lane: &LaneKey) -> Duration {
        let turn = self.change(lane, |lane, now| {
            lane.retry_at = (lane.retry_at.max(now) + RETRY).min(now + LAST_RETRY);
            lane.retry_at - now
        });
        turn.unwrap_or(LAST_RETRY)
    }

    /// What the next claim of up to `max` jobs is to leave.
    pub(super) fn limits(&self, max: usize) -> Limits {
        let (now, mut limits) = (Instant::now(), Limits::default());
        for (key, lane) in &self.locked().lanes {
            let room = if lane.paused > now { Some(0) } else { lane.room() };
            match room {
                Some(0) if limits.paused.len() < NAMED => limits.paused.push(key.clone()),
                Some(room) if room > 0 && room < max && limits.limited.len() < NAMED => {
                    limits.limited.push((key.clone(), room));
                }
                _ => {}
            }
        }
        limits
    }

    /// How long until a lane may have room; `None` if it has.
    pub(super) fn wait(&self, lane: &LaneKey) -> Option<Duration> {
        self.locked().lanes.get(lane)?.wait(Instant::now())
    }

    /// How long until the first of those that have none may have room.
    pub(super) fn next(&self) -> Option<Duration> {
        let now = Instant::now();
        self.locked().lanes.values().filter_map(|lane| lane.wait(now)).min()
    }
}

/// A job that was claimed and not yet judged by its lane's limits.
pub(super) struct Coming(Arc<Worker>, Option<LaneKey>);

impl Coming {
    pub(super) fn new(worker: Arc<Worker>, lane: Option<LaneKey>) -> Self {
        let counted = lane.filter(|lane| worker.lanes.change(lane, |lane, _| lane.coming += 1).is_some());
        Self(worker, counted)
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(lane) = self.1.take() {
            self.0.lanes.change(&lane, |lane, _| lane.coming = lane.coming.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn lane(number: usize) -> LaneKey {
        LaneKey {
            workspace: format!("w{number}-dev").parse().unwrap(),
            delivery: false,
            target: "crm".parse().unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_lanes_the_quiet_ones_make_room() {
        let lanes = Lanes::default();
        let known = |lanes: &Lanes, number| lanes.change(&lane(number), |_, _| ()).is_some();
        assert!((0..KNOWN).all(|number| known(&lanes, number)));
        assert!(!known(&lanes, KNOWN));
        tokio::time::advance(QUIET / 2).await;
        lanes.pause(&lane(0), QUIET);
        tokio::time::advance(QUIET / 2 + SWEEP).await;
        assert!(known(&lanes, KNOWN), "those that were quiet for so long have gone");
        assert!(lanes.wait(&lane(0)).is_some(), "and one that is paused has not");
        assert_eq!(lanes.locked().lanes.len(), 2);
    }
}
