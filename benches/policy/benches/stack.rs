//! The whole policy stack beside the bare service and beside the same functions stacked from others, in one run, on one
//! thread, all going well: what counts is the ratio.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use orchestrator_core::policy::breaker::{BreakerLayer, CircuitBreaker};
use orchestrator_core::policy::rate_limit::Limiter;
use orchestrator_core::policy::{ClassifyErrors, NoObserver, PolicyRequest, PolicyState, stack};
use orchestrator_types::{
    BreakerPolicy, ConcurrencyPolicy, HedgePolicy, OnLimit, Policy, RateLimitPolicy, RetryPolicy,
};
use tower::limit::{ConcurrencyLimitLayer, RateLimitLayer};
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};
use tower_resilience::ratelimiter::RateLimiterLayer;
use tower_resilience::timelimiter::{FixedTimeout, TimeLimiterLayer};

#[derive(Debug, Clone)]
struct Call(Arc<[u8]>);

impl PolicyRequest for Call {
    fn idempotent(&self) -> bool {
        true
    }
}

#[allow(clippy::needless_pass_by_value, reason = "a service takes its request")]
fn upstream(call: Call) -> Ready<Result<usize, BoxError>> {
    ready(Ok(call.0.len()))
}

/// As much as the policy that it stands beside: three attempts, for errors.
#[derive(Clone)]
struct Attempts(u32);

impl tower::retry::Policy<Call, usize, BoxError> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _request: &mut Call, result: &mut Result<usize, BoxError>) -> Option<Self::Future> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Call) -> Option<Call> {
        Some(request.clone())
    }
}

/// The most that a policy may say, and more: the limit is asked and never reached.
fn most() -> RateLimitPolicy {
    RateLimitPolicy { per_second: 100_000_000.0, burst: 1_000_000, on_limit: OnLimit::Wait }
}

fn policy() -> Policy {
    Policy {
        retry: Some(RetryPolicy::default()),
        breaker: Some(BreakerPolicy::default()),
        rate_limit: Some(most()),
        concurrency: Some(ConcurrencyPolicy::default()),
        ..Policy::default()
    }
}

/// One call, polled to its end: the upstream is always ready, and so has everything around it to be.
fn call<S>(service: &mut S, request: &Call) -> bool
where
    S: Service<Call, Response = usize>,
{
    let mut cx = Context::from_waker(Waker::noop());
    if !matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
        return false;
    }
    let mut call = pin!(service.call(request.clone()));
    matches!(black_box(call.as_mut().poll(&mut cx)), Poll::Ready(Ok(_)))
}

fn measured<S>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut service: S)
where
    S: Service<Call, Response = usize>,
{
    let request = Call(Arc::from(&b"hello"[..]));
    assert!(call(&mut service, &request), "{name} does not answer at once");
    group.bench_function(name, |bencher| bencher.iter(|| call(&mut service, &request)));
}

fn stacks(criterion: &mut Criterion) {
    #[allow(clippy::expect_used, reason = "a benchmark without a runtime has nothing to measure")]
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // Timers are set in it, by some when they are built.
    let _entered = runtime.enter();
    let mut group = criterion.benchmark_group("policy");

    measured(&mut group, "bare service", service_fn(upstream));

    let tower = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(15)))
        .layer(RateLimitLayer::new(u64::from(u32::MAX), Duration::from_secs(1)))
        .layer(ConcurrencyLimitLayer::new(32))
        .layer(RetryLayer::new(Attempts(3)))
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .service(service_fn(upstream));
    measured(&mut group, "tower: timeouts, rate, concurrency, retry", tower);

    let whole = policy();
    let ours = stack(&whole, &PolicyState::new(&whole), ClassifyErrors, NoObserver, service_fn(upstream));
    measured(&mut group, "ours: deadline, rate, concurrency, retry, breaker, timeout", ours);

    let hedging = Policy { hedge: Some(HedgePolicy::default()), ..policy() };
    let ours = stack(&hedging, &PolicyState::new(&hedging), ClassifyErrors, NoObserver, service_fn(upstream));
    measured(&mut group, "ours: the same and hedging", ours);

    let timeouts = Policy::default();
    let least = stack(&timeouts, &PolicyState::new(&timeouts), ClassifyErrors, NoObserver, service_fn(upstream));
    measured(&mut group, "ours: timeouts alone", least);

    let breaker = Arc::new(CircuitBreaker::new(&BreakerPolicy::default()));
    measured(&mut group, "ours: breaker alone", BreakerLayer::new(breaker, ClassifyErrors).layer(service_fn(upstream)));

    let limiter = Arc::new(Limiter::new(&most()));
    measured(
        &mut group,
        "ours: rate limit alone",
        orchestrator_core::policy::rate_limit::RateLimitLayer::new(limiter).layer(service_fn(upstream)),
    );

    peers(&mut group);
    group.finish();
}

/// What others have, with the same numbers.
fn peers(group: &mut BenchmarkGroup<'_, WallTime>) {
    #[allow(clippy::expect_used, reason = "a peer that does not take its numbers cannot be measured")]
    let theirs = {
        let breaker = CircuitBreakerLayer::builder().sliding_window_size(100).build().expect("a breaker");
        let retry = tower_resilience::retry::RetryLayer::<Call, usize, CircuitBreakerError<BoxError>>::builder()
            .max_attempts(3)
            .build();
        let bulkhead = BulkheadLayer::builder().max_concurrent_calls(32).build().expect("a bulkhead");
        let rate = RateLimiterLayer::builder()
            .limit_for_period(1_000_000_000)
            .refresh_period(Duration::from_secs(1))
            .build()
            .expect("a rate limit");
        let time = TimeLimiterLayer::<FixedTimeout>::builder().timeout_duration(Duration::from_secs(15)).build();
        let service = retry.layer(breaker.layer(service_fn(upstream)));
        time.layer(rate.layer(bulkhead.layer(service)))
    };
    measured(group, "tower-resilience: time, rate, bulkhead, retry, breaker", theirs);

    let breaker = failsafe::Config::new().build();
    group.bench_function("failsafe: breaker alone", |bencher| {
        bencher.iter(|| black_box(failsafe::CircuitBreaker::call(&breaker, || Ok::<_, ()>(black_box(5)))).is_ok());
    });

    let quota = governor::Quota::per_second(NonZeroU32::MAX);
    let limiter = governor::RateLimiter::keyed(quota);
    group.bench_function("governor: keyed", |bencher| bencher.iter(|| black_box(limiter.check_key(&7_u64)).is_ok()));
}

criterion_group!(benches, stacks);
criterion_main!(benches);
