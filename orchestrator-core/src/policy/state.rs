//! What a lane remembers between calls. It lives apart from the stacks, so that activating a config rebuilds those and
//! keeps this where its numbers did not change.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{BreakerHold, ConcurrencyPolicy, HedgePolicy, Policy, RateLimitPolicy, RetryPolicy};

use super::breaker::{BreakerSnapshot, CircuitBreaker};
use super::concurrency::Bulkhead;
use super::hedge::Hedging;
use super::rate_limit::lease::{Keeper, LimitKey};
use super::rate_limit::{Limiter, RateLimitSnapshot};
use super::retry::Budget;

/// The state of one lane: the breaker, limits and budget that all its calls and jobs share. The caller keeps one for
/// each (workspace, connector); nothing of it is global.
#[derive(Debug)]
pub struct PolicyState {
    limiter: Option<(RateLimitPolicy, Arc<Limiter>)>,
    bulkhead: Option<(ConcurrencyPolicy, Arc<Bulkhead>)>,
    breaker: Option<Arc<CircuitBreaker>>,
    hedging: Option<(HedgePolicy, Arc<Hedging>)>,
    budget_ratio: f64,
    budget: Arc<Budget>,
    /// Where the rate limit is shared with other nodes, and as whose.
    shared: Option<Box<(Keeper, LimitKey)>>,
}

impl PolicyState {
    /// Rested limits, a closed breaker, and the budget's floor.
    pub fn new(policy: &Policy) -> Arc<Self> {
        Self::with(policy, None)
    }

    /// The same, with a rate limit that this lane's calls on all nodes share.
    pub fn shared(policy: &Policy, keeper: Keeper, lane: LimitKey) -> Arc<Self> {
        Self::with(policy, Some(Box::new((keeper, lane))))
    }

    fn with(policy: &Policy, shared: Option<Box<(Keeper, LimitKey)>>) -> Arc<Self> {
        let budget_ratio = budget_ratio(policy);
        Arc::new(Self {
            limiter: policy.rate_limit.clone().map(|numbers| {
                let limiter = Arc::new(limiter(&numbers, shared.as_deref()));
                (numbers, limiter)
            }),
            bulkhead: policy.concurrency.clone().map(|numbers| {
                let bulkhead = Arc::new(Bulkhead::new(&numbers));
                (numbers, bulkhead)
            }),
            breaker: policy.breaker.as_ref().map(|numbers| Arc::new(CircuitBreaker::new(numbers))),
            hedging: policy.hedge.clone().map(|numbers| {
                let hedging = Arc::new(Hedging::new(&numbers));
                (numbers, hedging)
            }),
            budget_ratio,
            budget: Arc::new(Budget::new(budget_ratio)),
            shared,
        })
    }

    /// The state for another policy of the same lane, to be called when that is activated.
    ///
    /// Each part whose numbers did not change is kept, shared with the stacks that still run. Where they did change: a
    /// rate limit keeps what was spent of its burst, the bulkhead is resized under the calls in flight (for those of the
    /// old stacks too), the breaker, the budget and what hedging has learnt begin anew.
    pub fn adapt(&self, policy: &Policy) -> Arc<Self> {
        let budget_ratio = budget_ratio(policy);
        let rate_limit = policy.rate_limit.clone().map(|numbers| {
            let limiter = match &self.limiter {
                Some((known, limiter)) if known.per_second == numbers.per_second && known.burst == numbers.burst => {
                    Arc::clone(limiter)
                }
                Some((_, limiter)) => Arc::new(limiter.adapt(&numbers)),
                None => Arc::new(limiter(&numbers, self.shared.as_deref())),
            };
            (numbers, limiter)
        });
        let bulkhead = policy.concurrency.clone().map(|numbers| {
            let bulkhead = match &self.bulkhead {
                Some((known, bulkhead)) => {
                    if *known != numbers {
                        bulkhead.resize(&numbers);
                    }
                    Arc::clone(bulkhead)
                }
                None => Arc::new(Bulkhead::new(&numbers)),
            };
            (numbers, bulkhead)
        });
        let breaker = policy.breaker.as_ref().map(|numbers| match &self.breaker {
            Some(breaker) if breaker.is_for(numbers) => Arc::clone(breaker),
            _ => Arc::new(CircuitBreaker::new(numbers)),
        });
        let hedging = policy.hedge.clone().map(|numbers| {
            let hedging = match &self.hedging {
                Some((known, hedging)) if *known == numbers => Arc::clone(hedging),
                _ => Arc::new(Hedging::new(&numbers)),
            };
            (numbers, hedging)
        });
        let budget = if self.budget_ratio == budget_ratio {
            Arc::clone(&self.budget)
        } else {
            Arc::new(Budget::new(budget_ratio))
        };
        let shared = self.shared.clone();
        Arc::new(Self { limiter: rate_limit, bulkhead, breaker, hedging, budget_ratio, budget, shared })
    }

    /// The retry budget, which the lane's jobs share with its calls.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Holds the breaker open or closed, if there is one; `None` lets it go.
    pub fn hold(&self, hold: Option<BreakerHold>) {
        if let Some(breaker) = &self.breaker {
            breaker.hold(hold);
        }
    }

    /// Whether it is as good as new and nobody is in it: nothing would change if it was dropped and made again, save that
    /// retries earn their budget and hedges learn how long attempts take anew.
    pub fn rested(&self) -> bool {
        let limit = self.limiter.as_ref().is_none_or(|(_, limiter)| limiter.rested());
        let places = self.bulkhead.as_ref().is_none_or(|(_, places)| places.in_flight() == 0 && places.waiting() == 0);
        let breaker = self.breaker.as_ref().is_none_or(|breaker| breaker.rested());
        limit && places && breaker
    }

    /// How long until the limit and the breaker would let a call through; `None` if they would now. Spends nothing and
    /// promises nothing: others may come first. A job waits so long in the store, not in a worker's slot.
    pub fn lane_wait(&self) -> Option<Duration> {
        let limit = self.limiter.as_ref().map_or(Duration::ZERO, |(_, limiter)| limiter.wait());
        let breaker = self.breaker.as_ref().map_or(Duration::ZERO, |breaker| breaker.snapshot().retry_after);
        Some(limit.max(breaker)).filter(|wait| !wait.is_zero())
    }

    /// The rate limit now, for `RateLimit` headers; `None` without one.
    pub fn rate_limit_snapshot(&self) -> Option<RateLimitSnapshot> {
        self.limiter.as_ref().map(|(_, limiter)| limiter.snapshot())
    }

    /// The breaker now; `None` without one.
    pub fn breaker_snapshot(&self) -> Option<BreakerSnapshot> {
        self.breaker.as_ref().map(|breaker| breaker.snapshot())
    }

    /// The limiter, if there is a rate limit.
    pub fn limiter(&self) -> Option<&Arc<Limiter>> {
        self.limiter.as_ref().map(|(_, limiter)| limiter)
    }

    /// The bulkhead, if there is a concurrency limit.
    pub fn bulkhead(&self) -> Option<&Arc<Bulkhead>> {
        self.bulkhead.as_ref().map(|(_, bulkhead)| bulkhead)
    }

    /// What hedging knows, if there is any.
    pub fn hedging(&self) -> Option<&Arc<Hedging>> {
        self.hedging.as_ref().map(|(_, hedging)| hedging)
    }

    /// The breaker, if there is one.
    pub fn breaker(&self) -> Option<&Arc<CircuitBreaker>> {
        self.breaker.as_ref()
    }
}

fn limiter(numbers: &RateLimitPolicy, shared: Option<&(Keeper, LimitKey)>) -> Limiter {
    match shared {
        Some((keeper, lane)) => Limiter::shared(numbers, keeper, lane.clone()),
        None => Limiter::new(numbers),
    }
}

/// Jobs have a budget even where calls have no retries.
fn budget_ratio(policy: &Policy) -> f64 {
    policy.retry.as_ref().map_or_else(|| RetryPolicy::default().budget_ratio, |retry| retry.budget_ratio)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use orchestrator_types::BreakerPolicy;

    use super::*;
    use crate::policy::breaker::BreakerStatus;
    use crate::policy::classify::{Class, Sent};

    fn policy() -> Policy {
        Policy {
            retry: Some(RetryPolicy::default()),
            breaker: Some(BreakerPolicy { min_calls: 1, ..BreakerPolicy::default() }),
            rate_limit: Some(RateLimitPolicy { per_second: 1.0, burst: 10, ..RateLimitPolicy::default() }),
            concurrency: Some(ConcurrencyPolicy::default()),
            ..Policy::default()
        }
    }

    /// Spends of the limit and the budget, and opens the breaker.
    fn used(policy: &Policy) -> Arc<PolicyState> {
        let state = PolicyState::new(policy);
        (0..4).for_each(|_| assert!(state.limiter().unwrap().admit().is_ok()));
        while state.budget().withdraw() {}
        let breaker = state.breaker().unwrap();
        let pass = breaker.admit().pass.unwrap();
        breaker.complete(pass, Class::Retryable { retry_after: None, sent: Sent::Maybe });
        state
    }

    #[tokio::test(start_paused = true)]
    async fn what_did_not_change_is_kept() {
        let state = used(&policy());
        let mut next = policy();
        next.timeout.total_ms = 9_999;
        next.job_retry.max_attempts = 3;
        let adapted = state.adapt(&next);
        assert!(Arc::ptr_eq(state.limiter().unwrap(), adapted.limiter().unwrap()));
        assert!(Arc::ptr_eq(state.bulkhead().unwrap(), adapted.bulkhead().unwrap()));
        assert!(Arc::ptr_eq(state.breaker().unwrap(), adapted.breaker().unwrap()));
        assert!(Arc::ptr_eq(state.budget(), adapted.budget()));
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_changes_by_itself() {
        let state = used(&policy());
        let mut next = policy();
        next.breaker.as_mut().unwrap().open_s = 60;
        let adapted = state.adapt(&next);
        assert_eq!(state.breaker_snapshot().unwrap().status, BreakerStatus::Open);
        assert_eq!(adapted.breaker_snapshot().unwrap().status, BreakerStatus::Closed);
        assert_eq!(adapted.rate_limit_snapshot().unwrap().remaining, 6);
        assert!(!adapted.budget().withdraw());
    }

    #[tokio::test(start_paused = true)]
    async fn inv_21_a_changed_rate_does_not_give_the_burst_again() {
        let mut next = policy();
        next.rate_limit.as_mut().unwrap().burst = 20;
        assert_eq!(used(&policy()).adapt(&next).rate_limit_snapshot().unwrap().remaining, 16);
    }

    #[tokio::test(start_paused = true)]
    async fn parts_come_and_go() {
        let state = used(&policy()).adapt(&Policy::default());
        assert!(state.limiter().is_none() && state.bulkhead().is_none() && state.breaker().is_none());
        let state = state.adapt(&policy());
        assert_eq!(state.rate_limit_snapshot().unwrap().remaining, 10);
        assert_eq!(state.breaker_snapshot().unwrap().status, BreakerStatus::Closed);
    }
}
