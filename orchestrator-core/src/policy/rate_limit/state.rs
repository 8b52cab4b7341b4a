//! The limiter: a token bucket of one's own or one that nodes share, and the turnstile of those who wait.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use governor::clock::Clock;
use governor::nanos::Nanos;
use orchestrator_types::RateLimitPolicy;

use super::gcra::{Gcra, TokioClock};
use super::lease::{Keeper, LimitKey, Room, SharedLimit, Stock, Taken};
use crate::policy::places::{Entered, Place, Places, Turn};
use crate::policy::sync::{Mutex, PoisonError};

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

/// A token bucket, shared by all calls of a lane; and by all nodes, where it is made so.
///
/// Over any time it admits at most `burst` + `per_second` × seconds calls. Of a shared one that is true of all nodes together,
/// and the lots of tokens that they hold.
pub struct Limiter<C: Clock<Instant = Nanos> = TokioClock> {
    own: Gcra<C>,
    shared: Option<Box<Shared>>,
    // Who waits, goes one after the other: only the first one looks at the limit.
    // Made when the first one waits: most limits are never waited for.
    turnstile: OnceLock<Arc<Places>>,
    waiting: AtomicU32,
}

/// The part of a limit that nodes share.
struct Shared {
    keeper: Keeper,
    stock: Arc<Stock>,
    /// What this node may do while the others cannot be asked, and between how many nodes that is the share.
    share: Mutex<(u32, Gcra)>,
}

impl Limiter {
    /// A rested limit. Numbers that cannot work are brought into range; `validate` has refused them before.
    pub fn new(policy: &RateLimitPolicy) -> Self {
        Self::with_clock(policy, TokioClock::new())
    }

    /// A rested limit of `burst` calls at once and `per_second` sustained, to be shared.
    pub fn per_second(per_second: f64, burst: u32) -> Arc<Self> {
        Arc::new(Self::around(Gcra::new(per_second, burst)))
    }

    /// A limit that the lane's calls on all nodes share.
    pub fn shared(policy: &RateLimitPolicy, keeper: &Keeper, lane: LimitKey) -> Self {
        let mut limiter = Self::new(policy);
        let limit = SharedLimit { lane, period: limiter.own.period(), burst: limiter.own.burst() };
        let nodes = keeper.nodes();
        let share = Mutex::new((nodes, limiter.share(nodes)));
        limiter.shared = Some(Box::new(Shared { keeper: keeper.clone(), stock: keeper.stock(limit), share }));
        limiter
    }

    /// A limit with other numbers, where what was spent of this one's burst stays spent.
    pub(crate) fn adapt(&self, policy: &RateLimitPolicy) -> Self {
        let mut adapted = Self::around(self.own.adapt(policy.per_second, policy.burst));
        if let Some(shared) = &self.shared {
            let lane = shared.stock.lane().clone();
            let limit = SharedLimit { lane, period: adapted.own.period(), burst: adapted.own.burst() };
            let nodes = shared.keeper.nodes();
            let (stock, share) = (shared.keeper.stock(limit), Mutex::new((nodes, adapted.share(nodes))));
            adapted.shared = Some(Box::new(Shared { keeper: shared.keeper.clone(), stock, share }));
        }
        adapted
    }

    /// This node's share between so many.
    fn share(&self, nodes: u32) -> Gcra {
        Gcra::new(self.own.per_second() / f64::from(nodes), (self.own.burst() / nodes).max(1))
    }
}

impl<C: Clock<Instant = Nanos>> Limiter<C> {
    fn with_clock(policy: &RateLimitPolicy, clock: C) -> Self {
        Self::around(Gcra::with_clock(policy.per_second, policy.burst, clock))
    }

    fn around(own: Gcra<C>) -> Self {
        Self { own, shared: None, turnstile: OnceLock::new(), waiting: AtomicU32::new(0) }
    }

    /// What it looks like now. Spends nothing. Of a shared one it shows what this node could admit at once.
    pub fn snapshot(&self) -> RateLimitSnapshot {
        let own = self.own.snapshot();
        match &self.shared {
            Some(shared) => RateLimitSnapshot { remaining: shared.stock.tokens().min(own.limit), ..own },
            None => own,
        }
    }

    /// How many calls would be admitted now. Spends nothing; of a shared one, whose tokens are spent and still wanted, it has
    /// the next lot fetched. Where nobody knows, one may try.
    pub(crate) fn room(&self) -> u32 {
        let Some(shared) = &self.shared else { return self.own.snapshot().remaining };
        let (room, low) = shared.stock.room();
        if low {
            shared.keeper.want(&shared.stock);
        }
        match room {
            Room::Tokens(tokens) => tokens,
            Room::Unknown => 1,
            Room::Away => shared.share.lock().unwrap_or_else(PoisonError::into_inner).1.snapshot().remaining,
        }
    }

    /// How long until a call that comes now would be admitted, behind all who wait already; zero if at once. Spends
    /// nothing.
    pub fn wait(&self) -> Duration {
        let waiting = self.waiting.load(Ordering::Relaxed);
        match &self.shared {
            Some(shared) => match shared.stock.wait() {
                Some(wait) => wait.saturating_add(self.own.period().saturating_mul(waiting)),
                None => shared.share.lock().unwrap_or_else(PoisonError::into_inner).1.wait(waiting),
            },
            None => self.own.wait(waiting),
        }
    }

    /// Whether it is as good as new, and nobody waits.
    pub(crate) fn rested(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
            && match &self.shared {
                Some(shared) => shared.stock.stale(),
                None => self.own.rested(),
            }
    }

    /// Takes a turn behind all who wait.
    pub(crate) fn queue(self: &Arc<Self>) -> Waiting<C> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (turn, place) = match self.turnstile.get_or_init(|| Places::new(1, u32::MAX)).enter(true) {
            Entered::Place(place, ..) => (None, Some(place)),
            Entered::Turn(turn) => (Some(turn), None),
            // Not with a queue that has no bound of its own; the token is then raced for.
            Entered::Full { .. } => (None, None),
        };
        Waiting { limiter: Arc::clone(self), turn, place }
    }

    /// Admits a call that finds nobody waiting: how many could follow at once, or how long it would have to wait.
    pub(crate) fn admit(&self) -> Result<u32, Duration> {
        match self.behind() {
            Some(wait) => Err(wait),
            None => self.take(),
        }
    }

    /// Admits the first of those who wait.
    pub(crate) fn take(&self) -> Result<u32, Duration> {
        match &self.shared {
            Some(shared) => self.take_shared(shared),
            None => self.own.take(),
        }
    }

    fn take_shared(&self, shared: &Shared) -> Result<u32, Duration> {
        let (taken, low) = shared.stock.take();
        if low {
            shared.keeper.want(&shared.stock);
        }
        match taken {
            Taken::Token(left) => Ok(left),
            Taken::Empty(wait) => Err(wait),
            Taken::Away => {
                let nodes = shared.keeper.nodes();
                let mut share = shared.share.lock().unwrap_or_else(PoisonError::into_inner);
                if share.0 != nodes {
                    let (per_second, burst) = (self.own.per_second() / f64::from(nodes), self.own.burst() / nodes);
                    *share = (nodes, share.1.adapt(per_second, burst.max(1)));
                }
                share.1.take()
            }
        }
    }

    /// How long who comes now has to wait at least, if somebody waits already.
    fn behind(&self) -> Option<Duration> {
        (self.waiting.load(Ordering::Relaxed) > 0).then(|| self.wait().max(self.own.period()))
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
            .field("burst", &self.own.burst())
            .field("per_second", &self.own.per_second())
            .field("shared", &self.shared.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_precision_loss, reason = "tests")]

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::super::gcra::period;
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
