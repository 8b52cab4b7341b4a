//! The limiter: governor's exact GCRA over tokio's clock, a cell that can be read without spending, and the turnstile
//! of those who wait.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::direct::NotKeyed;
use governor::{Quota, RateLimiter};
use orchestrator_types::RateLimitPolicy;
use tokio::time::Instant;

use crate::policy::places::{Entered, Place, Places, Turn};

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
    fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let passed = Instant::now().saturating_duration_since(self.origin);
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

/// What the rate limit looks like from outside, for `RateLimit` headers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimitSnapshot {
    /// Calls that a rested limit admits at once.
    pub limit: u32,
    /// Calls that it would admit now.
    pub remaining: u32,
    /// Until it is fully rested.
    pub reset: Duration,
    /// Calls a second, sustained.
    pub per_second: f64,
}

/// A token bucket, shared by all calls of a lane.
///
/// Over any time it admits at most `burst` + `per_second` × seconds calls.
pub struct Limiter<C: Clock<Instant = Nanos> = TokioClock> {
    governor: RateLimiter<NotKeyed, Cell, C, StateInformationMiddleware>,
    cell: Cell,
    // governor counts from here.
    start: u64,
    period: u64,
    burst: u32,
    per_second: f64,
    // Who waits, goes one after the other: only the first one looks at the limit.
    turnstile: Arc<Places>,
    waiting: AtomicU32,
}

impl Limiter {
    /// A rested limit. Numbers that cannot work are brought into range; `validate` has refused them before.
    pub fn new(policy: &RateLimitPolicy) -> Self {
        Self::with_clock(policy, TokioClock::new())
    }

    /// A limit with other numbers, where what was spent of this one's burst stays spent.
    pub(crate) fn adapt(&self, policy: &RateLimitPolicy) -> Self {
        let adapted = Self::new(policy);
        let spent = u64::from(self.burst - self.snapshot().remaining.min(self.burst)).min(u64::from(adapted.burst));
        if spent > 0 {
            let next = adapted.now().saturating_add(spent.saturating_mul(adapted.period));
            adapted.cell.0.store(next, Ordering::Release);
        }
        adapted
    }
}

impl<C: Clock<Instant = Nanos>> Limiter<C> {
    fn with_clock(policy: &RateLimitPolicy, clock: C) -> Self {
        let period = period(policy.per_second);
        let most = u32::try_from(LONGEST_SPAN / period).unwrap_or(u32::MAX).max(1);
        let burst = NonZeroU32::new(policy.burst.min(most)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_nanos(period))
            // A period is at least a nanosecond, so there always is a quota; this one is the strictest.
            .unwrap_or_else(|| Quota::per_hour(NonZeroU32::MIN))
            .allow_burst(burst);
        let cell = Cell::default();
        let start = clock.now().as_u64();
        let governor = RateLimiter::new(quota, cell.clone(), clock);
        Self {
            governor,
            cell,
            start,
            period,
            burst: burst.get(),
            per_second: policy.per_second,
            turnstile: Places::new(1, u32::MAX),
            waiting: AtomicU32::new(0),
        }
    }

    /// What it looks like now. Spends nothing.
    pub fn snapshot(&self) -> RateLimitSnapshot {
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

    /// Whether it is as good as new, and nobody waits.
    pub(crate) fn rested(&self) -> bool {
        self.ahead() == 0 && self.waiting.load(Ordering::Relaxed) == 0
    }

    /// How long until a call that comes now would be admitted, behind all who wait already; zero if at once. Spends
    /// nothing.
    pub fn wait(&self) -> Duration {
        let tolerance = self.period.saturating_mul(u64::from(self.burst.saturating_sub(1)));
        let behind = self.period.saturating_mul(u64::from(self.waiting.load(Ordering::Relaxed)));
        Duration::from_nanos(self.ahead().saturating_sub(tolerance).saturating_add(behind))
    }

    /// Admits a call that finds nobody waiting: how many could follow at once, or how long it would have to wait.
    pub(crate) fn admit(&self) -> Result<u32, Duration> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Err(self.wait().max(Duration::from_nanos(self.period)));
        }
        self.take()
    }

    /// Admits the first of those who wait.
    pub(crate) fn take(&self) -> Result<u32, Duration> {
        match self.governor.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(until) => Err(until.wait_time_from(self.governor.clock().now())),
        }
    }

    /// How far the next theoretical arrival lies ahead, in nanoseconds.
    fn ahead(&self) -> u64 {
        self.cell.0.load(Ordering::Acquire).saturating_sub(self.now())
    }

    /// Now, as governor counts.
    fn now(&self) -> u64 {
        self.governor.clock().now().as_u64().saturating_sub(self.start)
    }

    /// Takes a turn behind all who wait.
    pub(crate) fn queue(self: &Arc<Self>) -> Waiting<C> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (turn, place) = match self.turnstile.enter(true) {
            Entered::Place(place, ..) => (None, Some(place)),
            Entered::Turn(turn) => (Some(turn), None),
            // Not with a queue that has no bound of its own; the token is then raced for.
            Entered::Full { .. } => (None, None),
        };
        Waiting { limiter: Arc::clone(self), turn, place }
    }
}

/// A turn behind the limit. Dropping it gives it up.
pub(crate) struct Waiting<C: Clock<Instant = Nanos> = TokioClock> {
    limiter: Arc<Limiter<C>>,
    turn: Option<Turn>,
    place: Option<Place>,
}

impl<C: Clock<Instant = Nanos>> Waiting<C> {
    /// Ready once nobody waits before this turn.
    pub(crate) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(turn) = &mut self.turn {
            self.place = Some(ready!(turn.poll(cx)));
            self.turn = None;
        }
        Poll::Ready(())
    }

    /// Takes a token, or tells how long until there is one. Only for the first.
    pub(crate) fn take(&self) -> Result<u32, Duration> {
        self.limiter.take()
    }
}

impl<C: Clock<Instant = Nanos>> Drop for Waiting<C> {
    fn drop(&mut self) {
        self.limiter.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<C: Clock<Instant = Nanos>> fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("burst", &self.burst)
            .field("per_second", &self.per_second)
            .finish_non_exhaustive()
    }
}

/// Nanoseconds a call, rounded up: the limit is never exceeded, not even by a rounding.
fn period(per_second: f64) -> u64 {
    let nanos = (1e9 / per_second).ceil();
    if nanos.is_nan() || nanos <= 0.0 {
        return SLOWEST;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, then it is clamped")]
    let nanos = nanos as u64;
    nanos.clamp(1, SLOWEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_precision_loss, reason = "tests")]

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    fn policy(per_second: f64, burst: u32) -> RateLimitPolicy {
        RateLimitPolicy { per_second, burst, ..Default::default() }
    }

    proptest! {
        // In every window between two admissions: no more than the burst and the rate allow.
        #[test]
        fn inv_21_over_any_window_no_more_is_admitted_than_burst_and_rate(
            per_second in 0.1_f64..5_000.0,
            burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..400_000_000, 1_u32..40), 1..80),
        ) {
            let clock = FakeRelativeClock::default();
            let limiter = Limiter::with_clock(&policy(per_second, burst), clock.clone());
            let (mut now, mut admitted) = (0_u64, Vec::new());
            for (wait, calls) in steps {
                clock.advance(Duration::from_nanos(wait));
                now += wait;
                admitted.extend((0..calls).filter(|_| limiter.admit().is_ok()).map(|_| now));
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let allowed = f64::from(burst) + per_second * (to - from) as f64 / 1e9;
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        }

        // And no less: whoever asks as often as the rate allows is always admitted.
        #[test]
        fn inv_21_the_rate_itself_is_always_admitted(per_second in 0.1_f64..5_000.0, burst in 1_u32..50) {
            let clock = FakeRelativeClock::default();
            let limiter = Limiter::with_clock(&policy(per_second, burst), clock.clone());
            prop_assert_eq!((0..burst * 2).filter(|_| limiter.admit().is_ok()).count(), burst as usize);
            for _ in 0..100 {
                clock.advance(Duration::from_nanos(period(per_second)));
                prop_assert!(limiter.admit().is_ok());
                prop_assert!(limiter.admit().is_err());
            }
        }

        // The wait that is told is the wait that it takes.
        #[test]
        fn a_call_is_admitted_just_when_it_was_told(per_second in 0.1_f64..5_000.0, burst in 1_u32..50) {
            let clock = FakeRelativeClock::default();
            let limiter = Limiter::with_clock(&policy(per_second, burst), clock.clone());
            while limiter.admit().is_ok() {}
            let wait = limiter.wait();
            prop_assert_eq!(limiter.admit(), Err(wait));
            clock.advance(wait - Duration::from_nanos(1));
            prop_assert!(limiter.admit().is_err());
            clock.advance(Duration::from_nanos(1));
            prop_assert!(limiter.admit().is_ok());
        }

        // A period that is rounded down would exceed the rate, if only by little and after long.
        #[test]
        fn inv_21_a_period_is_never_shorter_than_the_rate_allows(per_second in 0.001_f64..1_000_000.0) {
            prop_assert!(period(per_second) as f64 * per_second >= 1e9 * (1.0 - f64::EPSILON));
        }

        #[test]
        fn no_numbers_make_it_panic(per_second in proptest::num::f64::ANY, burst in any::<u32>()) {
            let clock = FakeRelativeClock::default();
            let limiter = Limiter::with_clock(&policy(per_second, burst), clock.clone());
            for _ in 0..3 {
                let _ = limiter.admit();
                let _ = (limiter.snapshot(), limiter.wait());
                clock.advance(Duration::from_secs(1_000_000));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_21_other_numbers_do_not_refill_the_burst() {
        let limiter = Limiter::new(&policy(1.0, 10));
        (0..8).for_each(|_| assert!(limiter.admit().is_ok()));
        let adapted = limiter.adapt(&policy(2.0, 12));
        assert_eq!(adapted.snapshot().remaining, 4);
        let smaller = adapted.adapt(&policy(2.0, 5));
        assert_eq!(smaller.snapshot().remaining, 0);
    }
}
