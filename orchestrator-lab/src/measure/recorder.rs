//! The record of one run, and the world that is shared by all its tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orchestrator_core::policy::breaker::{BreakerStatus, Counts};
use orchestrator_core::policy::{GaveUpReason, PolicyEvent};
use tokio::time::Instant;

use super::Histogram;
use crate::call::Ending;
use crate::upstream::Answering;

/// More histograms over time than this are not kept: a slot then lasts several seconds.
const SLOTS: u64 = 600;
/// More changes of the breaker than this are only counted.
const TRANSITIONS: usize = 10_000;

/// What happened in a second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Second {
    /// Requests that began in it.
    pub(crate) requests: u32,
    /// How many of those ended well, whenever that was.
    pub(crate) succeeded: u32,
    /// Calls through the policy.
    pub(crate) calls: u32,
    /// Attempts that reached the upstream.
    pub(crate) attempts: u32,
}

/// What happened in a phase: what began in it, and for attempts, what reached the upstream in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PhaseCounts {
    pub(crate) requests: u64,
    pub(crate) succeeded: u64,
    pub(crate) calls: u64,
    pub(crate) attempts: u64,
    pub(crate) latency: Histogram,
}

/// The breaker changed its state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transition {
    pub(crate) at: Duration,
    pub(crate) from: BreakerStatus,
    pub(crate) to: BreakerStatus,
    pub(crate) calls: u32,
    pub(crate) failures: u32,
}

/// When something began: what comes of it is counted there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    second: usize,
    phase: usize,
    at: Instant,
}

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Measure {
    start: Instant,
    phase: usize,
    pub(crate) seconds: Vec<Second>,
    pub(crate) phases: Vec<PhaseCounts>,
    /// Latencies of the calls that began in each slot.
    pub(crate) slots: Vec<Histogram>,
    pub(crate) slot_seconds: u64,
    pub(crate) endings: [u64; Ending::ALL.len()],
    pub(crate) latency_of_successes: Histogram,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) transitions_in_all: u64,
    pub(crate) retries: u64,
    pub(crate) gave_up: BTreeMap<&'static str, u64>,
    pub(crate) abandoned: u64,
    pub(crate) most_waiting: u64,
}

impl Measure {
    /// The record of a run that begins now and lasts so many seconds, at least one, in so many phases.
    pub(crate) fn new(seconds: u64, phases: usize) -> Self {
        let slot_seconds = seconds.div_ceil(SLOTS).max(1);
        let length = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            start: Instant::now(),
            phase: 0,
            seconds: vec![Second::default(); length(seconds)],
            phases: vec![PhaseCounts::default(); phases],
            slots: vec![Histogram::default(); length(seconds.div_ceil(slot_seconds))],
            slot_seconds,
            endings: [0; Ending::ALL.len()],
            latency_of_successes: Histogram::default(),
            transitions: Vec::new(),
            transitions_in_all: 0,
            retries: 0,
            gave_up: BTreeMap::new(),
            abandoned: 0,
            most_waiting: 0,
        }
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Nanoseconds since the start.
    pub(crate) fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// From now on it is this phase.
    pub(crate) fn enter(&mut self, phase: usize) {
        self.phase = phase;
    }

    /// A request or a call begins. What comes after the last second, a client's last retry, counts to it.
    fn begins(&self) -> (Began, usize) {
        let at = Instant::now();
        let second = usize::try_from(at.saturating_duration_since(self.start).as_secs()).unwrap_or(usize::MAX);
        (Began { second: second.min(self.seconds.len().saturating_sub(1)), phase: self.phase, at }, second)
    }

    pub(crate) fn request_begins(&mut self) -> Began {
        let (began, _) = self.begins();
        if let Some(second) = self.seconds.get_mut(began.second) {
            second.requests += 1;
        }
        if let Some(phase) = self.phases.get_mut(began.phase) {
            phase.requests += 1;
        }
        began
    }

    pub(crate) fn request_ends(&mut self, began: Began, succeeded: bool) {
        if !succeeded {
            return;
        }
        if let Some(second) = self.seconds.get_mut(began.second) {
            second.succeeded += 1;
        }
        if let Some(phase) = self.phases.get_mut(began.phase) {
            phase.succeeded += 1;
        }
    }

    pub(crate) fn call_begins(&mut self) -> Began {
        let (began, second) = self.begins();
        if let Some(second) = self.seconds.get_mut(second) {
            second.calls += 1;
        }
        if let Some(phase) = self.phases.get_mut(began.phase) {
            phase.calls += 1;
        }
        began
    }

    pub(crate) fn call_ends(&mut self, began: Began, ending: Ending) {
        let millis = u64::try_from(began.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(count) = self.endings.get_mut(ending as usize) {
            *count += 1;
        }
        if ending == Ending::Succeeded {
            self.latency_of_successes.record(millis);
        }
        if let Some(phase) = self.phases.get_mut(began.phase) {
            phase.latency.record(millis);
        }
        let slot = began.second / usize::try_from(self.slot_seconds).unwrap_or(usize::MAX);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.record(millis);
        }
    }

    /// An attempt reaches the upstream, where so many wait.
    pub(crate) fn attempt(&mut self, waiting: usize) {
        self.most_waiting = self.most_waiting.max(waiting as u64);
        let (began, second) = self.begins();
        if let Some(second) = self.seconds.get_mut(second) {
            second.attempts += 1;
        }
        if let Some(phase) = self.phases.get_mut(began.phase) {
            phase.attempts += 1;
        }
    }

    /// An answer of the upstream that nobody waits for any more.
    pub(crate) fn abandoned(&mut self) {
        self.abandoned += 1;
    }

    fn event(&mut self, event: PolicyEvent) {
        match event {
            PolicyEvent::BreakerTransition { from, to, counts, .. } => {
                let Counts { calls, failures, .. } = counts;
                self.transitions_in_all += 1;
                if self.transitions.len() < TRANSITIONS {
                    self.transitions.push(Transition { at: self.start.elapsed(), from, to, calls, failures });
                }
            }
            PolicyEvent::RetryScheduled { .. } => self.retries += 1,
            PolicyEvent::GaveUp { reason, .. } => *self.gave_up.entry(reason_name(reason)).or_default() += 1,
            _ => {}
        }
    }

    pub(crate) fn ended_as(&self, ending: Ending) -> u64 {
        self.endings.get(ending as usize).copied().unwrap_or(0)
    }
}

fn reason_name(reason: GaveUpReason) -> &'static str {
    match reason {
        GaveUpReason::Attempts => "attempts",
        GaveUpReason::Budget => "budget",
        GaveUpReason::NotIdempotent => "not_idempotent",
        GaveUpReason::Final => "final",
        GaveUpReason::Deadline => "deadline",
        GaveUpReason::Disallowed => "disallowed",
        _ => "other",
    }
}

/// What all tasks of a run share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) measure: Measure,
    pub(crate) answering: Answering,
}

/// The world. A run is one thread, so nobody ever waits for the lock; it is there because tasks have to be `Send`.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, once nothing else of the run is left.
    pub(crate) fn into_measure(self) -> Option<Measure> {
        let world = Arc::into_inner(self.0)?;
        Some(world.into_inner().unwrap_or_else(PoisonError::into_inner).measure)
    }

    /// Counts what a policy did. What is not counted does not take the lock.
    pub(crate) fn event(&self, event: PolicyEvent) {
        if matches!(
            event,
            PolicyEvent::BreakerTransition { .. } | PolicyEvent::RetryScheduled { .. } | PolicyEvent::GaveUp { .. }
        ) {
            self.lock().measure.event(event);
        }
    }
}
