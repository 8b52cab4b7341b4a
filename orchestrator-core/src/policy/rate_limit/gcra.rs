//! Governor's exact GCRA over tokio's clock, with a cell that can be read without spending.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::direct::NotKeyed;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::RateLimitSnapshot;
use crate::policy::moment;

/// No cell refills slower than once a day, and no limiter spans more than about a century: governor multiplies the two
/// in nanoseconds of 64 bits.
const SLOWEST: u64 = 86_400_000_000_000;
const LONGEST_SPAN: u64 = 1 << 61;

/// governor's clock over tokio's, so that deadlines and paused tests hold.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let passed = moment::now().saturating_duration_since(self.origin);
        Nanos::new(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX >> 1))
    }
}

/// GCRA's one number, the theoretical arrival time of the next call. Shared, so that it can be read beside governor.
#[derive(Debug, Clone, Default)]
struct Cell(Arc<AtomicU64>);

impl StateStore for Cell {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut before = self.0.load(Ordering::Acquire);
        loop {
            let (outcome, after) = decide((before != 0).then(|| Nanos::new(before)))?;
            match self.0.compare_exchange_weak(before, after.as_u64(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(outcome),
                Err(now) => before = now,
            }
        }
    }
}

/// A token bucket, and nothing around it.
pub(super) struct Gcra<C: Clock<Instant = Nanos> = TokioClock> {
    governor: RateLimiter<NotKeyed, Cell, C, StateInformationMiddleware>,
    cell: Cell,
    // governor counts from here.
    start: u64,
    period: u64,
    burst: u32,
    per_second: f64,
}

impl Gcra {
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        Self::with_clock(per_second, burst, TokioClock::new())
    }

    /// With other numbers, where what was spent of this one's burst stays spent.
    pub(super) fn adapt(&self, per_second: f64, burst: u32) -> Self {
        let adapted = Self::new(per_second, burst);
        let spent = u64::from(self.burst - self.snapshot().remaining.min(self.burst)).min(u64::from(adapted.burst));
        if spent > 0 {
            let next = adapted.now().saturating_add(spent.saturating_mul(adapted.period));
            adapted.cell.0.store(next, Ordering::Release);
        }
        adapted
    }
}

impl<C: Clock<Instant = Nanos>> Gcra<C> {
    pub(super) fn with_clock(per_second: f64, burst: u32, clock: C) -> Self {
        let period = period(per_second);
        let most = u32::try_from(LONGEST_SPAN / period).unwrap_or(u32::MAX).max(1);
        let burst = NonZeroU32::new(burst.min(most)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_nanos(period))
            // A period is at least a nanosecond, so there always is a quota; this one is the strictest.
            .unwrap_or_else(|| Quota::per_hour(NonZeroU32::MIN))
            .allow_burst(burst);
        let cell = Cell::default();
        let start = clock.now().as_u64();
        let governor = RateLimiter::new(quota, cell.clone(), clock);
        Self { governor, cell, start, period, burst: burst.get(), per_second }
    }

    /// Takes a token: how many are left, or how long until there is one.
    pub(super) fn take(&self) -> Result<u32, Duration> {
        match self.governor.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(until) => Err(until.wait_time_from(self.governor.clock().now())),
        }
    }

    /// What it looks like now. Spends nothing.
    pub(super) fn snapshot(&self) -> RateLimitSnapshot {
        let ahead = self.ahead();
        let span = self.period.saturating_mul(u64::from(self.burst));
        let remaining = u32::try_from(span.saturating_sub(ahead) / self.period).unwrap_or(u32::MAX);
        RateLimitSnapshot {
            limit: self.burst,
            remaining: remaining.min(self.burst),
            reset: Duration::from_nanos(ahead),
            per_second: self.per_second,
        }
    }

    /// How long until there is a token behind `before` others.
    pub(super) fn wait(&self, before: u32) -> Duration {
        let tolerance = self.period.saturating_mul(u64::from(self.burst.saturating_sub(1)));
        let behind = self.period.saturating_mul(u64::from(before));
        Duration::from_nanos(self.ahead().saturating_sub(tolerance).saturating_add(behind))
    }

    /// Whether nothing is spent.
    pub(super) fn rested(&self) -> bool {
        self.ahead() == 0
    }

    /// How long a token takes to come.
    pub(super) fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    pub(super) fn burst(&self) -> u32 {
        self.burst
    }

    pub(super) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// How far the next theoretical arrival lies ahead, in nanoseconds.
    fn ahead(&self) -> u64 {
        self.cell.0.load(Ordering::Acquire).saturating_sub(self.now())
    }

    /// Now, as governor counts.
    fn now(&self) -> u64 {
        self.governor.clock().now().as_u64().saturating_sub(self.start)
    }
}

/// Nanoseconds a call, rounded up: the limit is never exceeded, not even by a rounding.
pub(super) fn period(per_second: f64) -> u64 {
    let nanos = (1e9 / per_second).ceil();
    if nanos.is_nan() || nanos <= 0.0 {
        return SLOWEST;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, then it is clamped")]
    let nanos = nanos as u64;
    nanos.clamp(1, SLOWEST)
}
