//! The breaker's decisions: pure, and the lock around them.

use std::fmt;
use std::time::Duration;

use orchestrator_types::{BreakerHold, BreakerPolicy};
use tokio::time::Instant;

use super::builder::{BreakerBuilder, Span};
use super::window::{Counts, Outcome, Window};
use crate::policy::classify::Class;
use crate::policy::moment;
use crate::policy::sync::{Mutex, MutexGuard, PoisonError};

/// What is told to come back after, while every probe is under way: when they end is not known.
const PROBING: Duration = Duration::from_secs(1);
/// What is told to come back after, while it is held open: when that ends is not known either.
const HELD: Duration = Duration::from_secs(5);

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
    #[must_use]
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
    /// What is in its window.
    pub counts: Counts,
    /// After how long it may let a call through; zero if it would now.
    pub retry_after: Duration,
    /// Whether it is held there by an operator.
    pub held: bool,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// From.
    pub from: BreakerStatus,
    /// To.
    pub to: BreakerStatus,
    /// What it was decided on.
    pub counts: Counts,
}

/// A call was let through. It has to be given to [`Circuit::complete`] or [`Circuit::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    // The state that it was let through in: a result of an older one says nothing about this one.
    generation: u64,
    /// Where slow calls are counted.
    since: Option<Instant>,
}

/// What [`Circuit::admit`] decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    /// Let through, or how long until a call may be.
    pub(crate) pass: Result<Pass, Duration>,
    /// The state changed with it.
    pub(crate) transition: Option<Transition>,
    pub(crate) status: BreakerStatus,
    pub(crate) counts: Counts,
    pub(crate) held: bool,
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
    numbers: BreakerBuilder,
    window: Window,
    state: State,
    generation: u64,
    hold: Option<BreakerHold>,
}

impl Circuit {
    pub(crate) fn new(numbers: &BreakerBuilder, now: Instant) -> Self {
        Self {
            numbers: *numbers,
            window: match numbers.span {
                Span::Time(length) => Window::of_time(length, now),
                Span::Calls(calls) => Window::of_calls(calls),
            },
            state: State::Closed,
            generation: 0,
            hold: None,
        }
    }

    /// Lets a call through, or tells after how long it may be.
    pub(crate) fn admit(&mut self, now: Instant) -> Admission {
        let probes = self.probes();
        let (pass, transition) = match (&mut self.state, self.hold) {
            (_, Some(BreakerHold::Open)) => (Err(HELD), None),
            (_, Some(BreakerHold::Closed)) | (State::Closed, None) => (Ok(()), None),
            (State::Open { until }, None) if now < *until => (Err(*until - now), None),
            (State::Open { .. }, None) => {
                (Ok(()), Some(self.enter(State::HalfOpen { in_flight: 1, succeeded: 0 }, now)))
            }
            // Those that succeeded have used their probe: exactly `probes` of them are let through.
            (State::HalfOpen { in_flight, succeeded }, None) if in_flight.saturating_add(*succeeded) < probes => {
                *in_flight += 1;
                (Ok(()), None)
            }
            (State::HalfOpen { .. }, None) => (Err(PROBING), None),
        };
        Admission {
            pass: pass.map(|()| Pass { generation: self.generation, since: self.numbers.slow.map(|_| now) }),
            transition,
            status: self.status(),
            counts: self.window.counts(now),
            held: self.hold.is_some(),
        }
    }

    /// Lets a call through where the time does not matter: a closed one does, whatever the time is.
    #[inline]
    pub(crate) fn pass_closed(&self) -> Option<Pass> {
        let closed = matches!((self.state, self.hold), (State::Closed, None)) && self.numbers.slow.is_none();
        closed.then_some(Pass { generation: self.generation, since: None })
    }

    /// Counts the result of a call that was let through.
    #[inline]
    pub(crate) fn complete(&mut self, pass: Pass, class: Class, now: Instant) -> Option<Transition> {
        let failed = match class {
            Class::Success | Class::Final => false,
            Class::Retryable { .. } => true,
            Class::Ignored => {
                // Its result says nothing, and neither does how long it took to come.
                return self.cancel(Pass { since: None, ..pass }, now);
            }
        };
        if pass.generation != self.generation {
            return None;
        }
        let slow = self
            .numbers
            .slow
            .zip(pass.since)
            .is_some_and(|((over, _), since)| now.saturating_duration_since(since) > over);
        if self.hold.is_some() {
            // Counted, to be seen; decided is nothing.
            self.window.record(Outcome { failed, slow }, now);
            return None;
        }
        let probes = self.probes();
        match &mut self.state {
            State::Closed => {
                let counts = self.window.record(Outcome { failed, slow }, now);
                self.broken(counts).then(|| self.open(now))
            }
            // One failure is enough here: the upstream has had its rest, and the next one is cheap.
            State::HalfOpen { .. } if failed || slow => Some(self.open(now)),
            State::HalfOpen { in_flight, succeeded } => {
                *in_flight = in_flight.saturating_sub(1);
                *succeeded += 1;
                (*succeeded >= probes).then(|| {
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

    /// A call that was let through will have no result: its probe can be used by another. Where slow calls are counted, one
    /// that was given up after it was slow is one: else a deadline that cuts every call would hide that all of them are.
    pub(crate) fn cancel(&mut self, pass: Pass, now: Instant) -> Option<Transition> {
        if pass.generation != self.generation {
            return None;
        }
        let slow = self.was_slow(pass, now);
        match &mut self.state {
            State::HalfOpen { in_flight, .. } => {
                *in_flight = in_flight.saturating_sub(1);
                None
            }
            State::Closed if slow => {
                let counts = self.window.record(Outcome { failed: false, slow: true }, now);
                (self.hold.is_none() && self.broken(counts)).then(|| self.open(now))
            }
            State::Closed | State::Open { .. } => None,
        }
    }

    /// Holds it open or closed; or lets it go: then it is closed and begins anew.
    pub(crate) fn hold(&mut self, hold: Option<BreakerHold>) {
        if self.hold == hold {
            return;
        }
        self.hold = hold;
        // What was let through before says nothing about what comes after.
        self.generation += 1;
        self.state = State::Closed;
        self.window.clear();
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> BreakerSnapshot {
        let counts = self.window.counts(now);
        let (status, retry_after) = match (self.state, self.hold) {
            (_, Some(BreakerHold::Open)) => (BreakerStatus::Open, HELD),
            (_, Some(BreakerHold::Closed)) | (State::Closed, None) => (BreakerStatus::Closed, Duration::ZERO),
            (State::Open { until }, None) if now < until => (BreakerStatus::Open, until - now),
            (State::Open { .. }, None) => (BreakerStatus::HalfOpen, Duration::ZERO),
            (State::HalfOpen { in_flight, succeeded }, None) if in_flight.saturating_add(succeeded) < self.probes() => {
                (BreakerStatus::HalfOpen, Duration::ZERO)
            }
            (State::HalfOpen { .. }, None) => (BreakerStatus::HalfOpen, PROBING),
        };
        BreakerSnapshot { status, counts, retry_after, held: self.hold.is_some() }
    }

    #[inline]
    fn was_slow(&self, pass: Pass, now: Instant) -> bool {
        let measured = self.numbers.slow.zip(pass.since);
        measured.is_some_and(|((over, _), since)| now.saturating_duration_since(since) > over)
    }

    /// Whether what is in the window opens it.
    #[inline]
    fn broken(&self, counts: Counts) -> bool {
        let reached = |count: u32, ratio: f64| count > 0 && f64::from(count) >= ratio * f64::from(counts.calls);
        counts.calls >= self.numbers.min_calls
            && (reached(counts.failures, self.numbers.failure_ratio)
                || self.numbers.slow.is_some_and(|(_, ratio)| reached(counts.slow, ratio)))
    }

    fn probes(&self) -> u32 {
        self.numbers.probes.max(1)
    }

    fn status(&self) -> BreakerStatus {
        match self.hold {
            Some(BreakerHold::Open) => BreakerStatus::Open,
            Some(BreakerHold::Closed) => BreakerStatus::Closed,
            None => status(&self.state),
        }
    }

    fn open(&mut self, now: Instant) -> Transition {
        let until = now.checked_add(self.numbers.open).unwrap_or(now);
        self.enter(State::Open { until }, now)
    }

    fn enter(&mut self, state: State, now: Instant) -> Transition {
        let counts = self.window.counts(now);
        let from = status(&self.state);
        self.state = state;
        self.generation += 1;
        Transition { from, to: status(&self.state), counts }
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
    #[must_use]
    pub fn new(policy: &BreakerPolicy) -> Self {
        Self::of(&BreakerBuilder::from(policy))
    }

    /// One by its numbers.
    #[must_use]
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::default()
    }

    pub(super) fn of(numbers: &BreakerBuilder) -> Self {
        Self { circuit: Mutex::new(Circuit::new(numbers, Instant::now())) }
    }

    /// What it looks like now. Changes nothing.
    #[must_use]
    pub fn snapshot(&self) -> BreakerSnapshot {
        self.lock().snapshot(Instant::now())
    }

    /// Holds it open or closed, whatever its window says; `None` lets it go: then it is closed and begins anew. Calls
    /// under way are not touched, and count for nothing.
    pub fn hold(&self, hold: Option<BreakerHold>) {
        self.lock().hold(hold);
    }

    pub(crate) fn admit(&self) -> Admission {
        let now = moment::now();
        self.lock().admit(now)
    }

    /// Lets a call through if that takes no look at the clock, for those whom nobody observes.
    #[inline]
    pub(crate) fn admit_closed(&self) -> Option<Pass> {
        self.lock().pass_closed()
    }

    #[inline]
    pub(crate) fn complete(&self, pass: Pass, class: Class) -> Option<Transition> {
        let now = Instant::now();
        self.lock().complete(pass, class, now)
    }

    pub(crate) fn cancel(&self, pass: Pass) -> Option<Transition> {
        let now = Instant::now();
        self.lock().cancel(pass, now)
    }

    /// Whether it was made for these numbers.
    pub(crate) fn is_for(&self, policy: &BreakerPolicy) -> bool {
        self.lock().numbers == BreakerBuilder::from(policy)
    }

    /// Whether it is as good as new. What holds it is not its own, and is put on a new one as well.
    pub(crate) fn rested(&self) -> bool {
        let snapshot = self.snapshot();
        (snapshot.held || snapshot.status == BreakerStatus::Closed) && snapshot.counts.calls == 0
    }

    #[inline]
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
