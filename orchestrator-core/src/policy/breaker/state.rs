//! The breaker's decisions: pure, and the lock around them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orchestrator_types::BreakerPolicy;
use tokio::time::Instant;

use super::window::Window;
use crate::policy::classify::Class;

/// What is told to come back after, while every probe is under way: when they end is not known.
const PROBING: Duration = Duration::from_secs(1);

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerStatus {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused.
    Open,
    /// Some calls pass, to find out whether the upstream is well again.
    HalfOpen,
}

impl BreakerStatus {
    /// As events spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What a breaker looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSnapshot {
    /// Its state. An open one whose time is over shows as half-open: it lets the next call through.
    pub status: BreakerStatus,
    /// The calls in its window.
    pub calls: u32,
    /// How many of them failed.
    pub failures: u32,
    /// After how long it may let a call through; zero if it would now.
    pub retry_after: Duration,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// From.
    pub from: BreakerStatus,
    /// To.
    pub to: BreakerStatus,
    /// The calls that it was decided on.
    pub calls: u32,
    /// How many of them failed.
    pub failures: u32,
}

/// A call was let through. It has to be given to [`Circuit::complete`] or [`Circuit::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    // The state that it was let through in: a result of an older one says nothing about this one.
    generation: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { in_flight: u32, succeeded: u32 },
}

/// The decisions, without a lock or a clock.
#[derive(Debug)]
pub(crate) struct Circuit {
    min_calls: u32,
    failure_ratio: f64,
    open: Duration,
    probes: u32,
    window: Window,
    state: State,
    generation: u64,
}

impl Circuit {
    pub(crate) fn new(policy: &BreakerPolicy, now: Instant) -> Self {
        Self {
            min_calls: policy.min_calls.max(1),
            failure_ratio: policy.failure_ratio,
            open: Duration::from_secs(policy.open_s),
            probes: policy.half_open_calls.max(1),
            window: Window::new(Duration::from_secs(policy.window_s), now),
            state: State::Closed,
            generation: 0,
        }
    }

    /// Lets a call through, or tells after how long it may be.
    pub(crate) fn admit(&mut self, now: Instant) -> (Result<Pass, Duration>, Option<Transition>) {
        match &mut self.state {
            State::Closed => (Ok(self.pass()), None),
            State::Open { until } if now < *until => (Err(*until - now), None),
            State::Open { .. } => {
                let transition = self.enter(State::HalfOpen { in_flight: 1, succeeded: 0 }, now);
                (Ok(self.pass()), Some(transition))
            }
            // Those that succeeded have used their probe: exactly `probes` of them are let through.
            State::HalfOpen { in_flight, succeeded } if in_flight.saturating_add(*succeeded) < self.probes => {
                *in_flight += 1;
                (Ok(self.pass()), None)
            }
            State::HalfOpen { .. } => (Err(PROBING), None),
        }
    }

    /// Counts the result of a call that was let through.
    pub(crate) fn complete(&mut self, pass: Pass, class: Class, now: Instant) -> Option<Transition> {
        let failed = match class {
            Class::Success | Class::Final => false,
            Class::Retryable { .. } => true,
            Class::Ignored => {
                self.cancel(pass);
                return None;
            }
        };
        if pass.generation != self.generation {
            return None;
        }
        match &mut self.state {
            State::Closed => {
                self.window.record(failed, now);
                let (calls, failures) = self.window.counts(now);
                let broken = failures > 0
                    && calls >= self.min_calls
                    && f64::from(failures) >= self.failure_ratio * f64::from(calls);
                broken.then(|| self.open(now))
            }
            // One failure is enough here: the upstream has had its rest, and the next one is cheap.
            State::HalfOpen { .. } if failed => Some(self.open(now)),
            State::HalfOpen { in_flight, succeeded } => {
                *in_flight = in_flight.saturating_sub(1);
                *succeeded += 1;
                (*succeeded >= self.probes).then(|| {
                    let transition = self.enter(State::Closed, now);
                    // The failures that opened it are history.
                    self.window.clear();
                    transition
                })
            }
            // Nothing passes while open, so nothing of this generation can end.
            State::Open { .. } => None,
        }
    }

    /// A call that was let through will have no result: its probe can be used by another.
    pub(crate) fn cancel(&mut self, pass: Pass) {
        if pass.generation == self.generation
            && let State::HalfOpen { in_flight, .. } = &mut self.state
        {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> BreakerSnapshot {
        let (calls, failures) = self.window.counts(now);
        let (status, retry_after) = match self.state {
            State::Closed => (BreakerStatus::Closed, Duration::ZERO),
            State::Open { until } if now < until => (BreakerStatus::Open, until - now),
            State::Open { .. } => (BreakerStatus::HalfOpen, Duration::ZERO),
            State::HalfOpen { in_flight, succeeded } if in_flight.saturating_add(succeeded) < self.probes => {
                (BreakerStatus::HalfOpen, Duration::ZERO)
            }
            State::HalfOpen { .. } => (BreakerStatus::HalfOpen, PROBING),
        };
        BreakerSnapshot { status, calls, failures, retry_after }
    }

    fn pass(&self) -> Pass {
        Pass { generation: self.generation }
    }

    fn open(&mut self, now: Instant) -> Transition {
        let until = now.checked_add(self.open).unwrap_or(now);
        self.enter(State::Open { until }, now)
    }

    fn enter(&mut self, state: State, now: Instant) -> Transition {
        let (calls, failures) = self.window.counts(now);
        let from = status(&self.state);
        self.state = state;
        self.generation += 1;
        Transition { from, to: status(&self.state), calls, failures }
    }
}

fn status(state: &State) -> BreakerStatus {
    match state {
        State::Closed => BreakerStatus::Closed,
        State::Open { .. } => BreakerStatus::Open,
        State::HalfOpen { .. } => BreakerStatus::HalfOpen,
    }
}

/// A circuit breaker's state, shared by all calls of a lane.
pub struct CircuitBreaker {
    circuit: Mutex<Circuit>,
}

impl CircuitBreaker {
    /// A closed breaker with an empty window.
    pub fn new(policy: &BreakerPolicy) -> Self {
        Self { circuit: Mutex::new(Circuit::new(policy, Instant::now())) }
    }

    /// What it looks like now. Changes nothing.
    pub fn snapshot(&self) -> BreakerSnapshot {
        self.lock().snapshot(Instant::now())
    }

    pub(crate) fn admit(&self) -> (Result<Pass, Duration>, Option<Transition>) {
        self.lock().admit(Instant::now())
    }

    pub(crate) fn complete(&self, pass: Pass, class: Class) -> Option<Transition> {
        self.lock().complete(pass, class, Instant::now())
    }

    pub(crate) fn cancel(&self, pass: Pass) {
        self.lock().cancel(pass);
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        // Nothing in `Circuit` panics halfway through a change, so a poisoned lock still guards a sound value.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("CircuitBreaker").field("status", &snapshot.status).finish_non_exhaustive()
    }
}
