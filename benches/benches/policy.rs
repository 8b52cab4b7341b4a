//! The whole policy stack beside what tower brings itself (timeout, retry, concurrency limit and rate limit), and beside
//! the bare service, in one run: what counts is the ratio.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use orchestrator_core::policy::{ClassifyErrors, NoObserver, PolicyRequest, PolicyState, stack};
use orchestrator_types::{BreakerPolicy, ConcurrencyPolicy, OnLimit, Policy, RateLimitPolicy, RetryPolicy};
use tower::limit::{ConcurrencyLimitLayer, RateLimitLayer};
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

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

fn policy() -> Policy {
    Policy {
        retry: Some(RetryPolicy::default()),
        breaker: Some(BreakerPolicy::default()),
        // The most that a policy may say: the limit is asked and never reached.
        rate_limit: Some(RateLimitPolicy { per_second: 1_000_000.0, burst: 1_000_000, on_limit: OnLimit::Wait }),
        concurrency: Some(ConcurrencyPolicy::default()),
        ..Policy::default()
    }
}

async fn call<S>(service: &mut S, request: Call) -> Result<usize, Infallible>
where
    S: Service<Call, Response = usize, Error = BoxError>,
{
    let answer = match service.ready().await {
        Ok(ready) => ready.call(request).await,
        Err(error) => Err(error),
    };
    Ok(black_box(answer.unwrap_or_default()))
}

fn stacks(criterion: &mut Criterion) {
    #[allow(clippy::expect_used, reason = "a benchmark without a runtime has nothing to measure")]
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // tower's rate limit sets a timer when it is built.
    let _entered = runtime.enter();
    let request = Call(Arc::from(&b"hello"[..]));
    let mut group = criterion.benchmark_group("policy");

    let mut bare = service_fn(upstream);
    group.bench_function("bare service", |bencher| {
        bencher.iter(|| runtime.block_on(call(&mut bare, request.clone())));
    });

    let mut theirs = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(15)))
        .layer(RateLimitLayer::new(u64::from(u32::MAX), Duration::from_secs(1)))
        .layer(ConcurrencyLimitLayer::new(32))
        .layer(RetryLayer::new(Attempts(3)))
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .service(service_fn(upstream));
    group.bench_function("tower: timeouts, rate, concurrency, retry", |bencher| {
        bencher.iter(|| runtime.block_on(call(&mut theirs, request.clone())));
    });

    let policy = policy();
    let mut ours = stack(&policy, &PolicyState::new(&policy), ClassifyErrors, NoObserver, service_fn(upstream));
    group.bench_function("ours: the same with breaker and budget", |bencher| {
        bencher.iter(|| runtime.block_on(call(&mut ours, request.clone())));
    });

    let timeouts = Policy::default();
    let mut least = stack(&timeouts, &PolicyState::new(&timeouts), ClassifyErrors, NoObserver, service_fn(upstream));
    group.bench_function("ours: timeouts alone", |bencher| {
        bencher.iter(|| runtime.block_on(call(&mut least, request.clone())));
    });
    group.finish();
}

criterion_group!(benches, stacks);
criterion_main!(benches);
