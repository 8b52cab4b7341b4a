//! The policy layers alone: they protect any `tower::Service`. No engine, no store, no config.
//!
//! `cargo run -p orchestrator-examples --example layers`

#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Method, Request};
use orchestrator_core::policy::attempt_timeout::AttemptTimeoutLayer;
use orchestrator_core::policy::backoff::Exponential;
use orchestrator_core::policy::breaker::{BreakerLayer, BreakerStatus, CircuitBreaker};
use orchestrator_core::policy::concurrency::{Bulkhead, ConcurrencyLayer};
use orchestrator_core::policy::deadline::DeadlineLayer;
use orchestrator_core::policy::fallback::FallbackLayer;
use orchestrator_core::policy::hedge::{HedgeLayer, Hedging};
use orchestrator_core::policy::rate_limit::{Limiter, RateLimitLayer};
use orchestrator_core::policy::retry::{Budget, RetryLayer};
use orchestrator_core::policy::{BreakerOpen, ClassifyErrors, NoObserver, PolicyState, stack};
use orchestrator_core::types::Policy;
use serde_json::json;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

type AnyError = Box<dyn Error + Send + Sync>;

/// What the walk through the layers found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How often the upstream was called until the first call succeeded.
    pub(crate) attempts_to_success: u32,
    /// How often it was called for a `POST`, which is not idempotent.
    pub(crate) attempts_of_a_post: u32,
    /// Whether the fallback answered for a `GET` that failed.
    pub(crate) fell_back: bool,
    /// Whether the breaker opened when everything failed.
    pub(crate) breaker_opened: bool,
    /// How often the upstream was called while the breaker was open.
    pub(crate) calls_while_open: u32,
    /// Whether a call went through once the breaker let a probe pass.
    pub(crate) recovered: bool,
}

/// An upstream that fails its first `failures` calls, and counts them all.
fn upstream(
    failures: u32,
    calls: &Arc<AtomicU32>,
) -> impl Service<Request<()>, Response = &'static str, Error = BoxError, Future: Send> + Clone + use<> {
    let calls = calls.clone();
    service_fn(move |_: Request<()>| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        async move { if number < failures { Err("the upstream is down".into()) } else { Ok("hello") } }
    })
}

fn request(method: Method) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    request
}

/// Some layers, picked by hand: a fallback and a deadline around limits, retries, hedges and a breaker.
async fn by_hand(outcome: &mut Outcome) -> Result<(), AnyError> {
    let calls = Arc::new(AtomicU32::new(0));
    // What is shared by all calls of the upstream: made once, and handed to the layers.
    let budget = Arc::new(Budget::new(0.5));
    let breaker = CircuitBreaker::builder().window_of_calls(50).min_calls(10).open_for(Duration::from_secs(5)).build();
    let waits =
        Exponential { initial: Duration::from_millis(10), max: Duration::from_millis(50), ..Default::default() };
    let layers = ServiceBuilder::new()
        .layer(FallbackLayer::new(yesterdays))
        .layer(DeadlineLayer::new(Duration::from_secs(2)))
        .layer(RateLimitLayer::new(Limiter::per_second(100.0, 20)).waiting_up_to(Duration::from_secs(1)))
        .layer(ConcurrencyLayer::new(Bulkhead::adaptive(2, 16, 32)).classified_by(ClassifyErrors))
        .layer(RetryLayer::attempts(4, Arc::clone(&budget), ClassifyErrors).scheduled_by(waits))
        .layer(HedgeLayer::new(Hedging::at(0.95, Duration::from_millis(5)), budget, ClassifyErrors))
        .layer(BreakerLayer::new(breaker, ClassifyErrors))
        .layer(AttemptTimeoutLayer::new(Duration::from_millis(500)));
    let mut service = layers.service(upstream(2, &calls));

    // Two failures, waits with jitter after them, then the answer.
    service.ready().await?.call(request(Method::GET)).await?;
    outcome.attempts_to_success = calls.swap(0, Ordering::SeqCst);
    println!("GET: an answer at attempt {}", outcome.attempts_to_success);

    // The upstream fails again. A POST may have been carried out: it is not sent again unless the policy says so.
    let down = Arc::new(AtomicU32::new(0));
    let mut service = layers.service(upstream(u32::MAX, &down));
    let refused = service.ready().await?.call(request(Method::POST)).await;
    outcome.attempts_of_a_post = down.swap(0, Ordering::SeqCst);
    println!("POST: {} attempt, {}", outcome.attempts_of_a_post, told(&refused));

    // For a GET yesterday's answer is good enough.
    let answer = service.ready().await?.call(request(Method::GET)).await;
    outcome.fell_back = answer.as_ref().is_ok_and(|answer| *answer == "hello, yesterday");
    println!("GET: after {} attempts {}", down.load(Ordering::SeqCst), told(&answer));
    Ok(())
}

/// What is answered for a GET that failed.
fn yesterdays(request: &Request<()>, _error: &BoxError) -> Option<&'static str> {
    (request.method() == Method::GET).then_some("hello, yesterday")
}

/// All of them in the one order that works, from the same document that a workspace's config has.
async fn as_a_stack(outcome: &mut Outcome) -> Result<(), AnyError> {
    let policy: Policy = serde_json::from_value(json!({
        "timeout": {"attempt_ms": 200, "total_ms": 1_000},
        "breaker": {"window_s": 10, "min_calls": 4, "failure_ratio": 0.5, "open_s": 1, "half_open_calls": 1},
        "rate_limit": {"per_second": 100, "burst": 100},
        "concurrency": {"max": 8, "queue": 16},
    }))?;
    // The state outlives the stack: another stack for the same upstream, after a change of the policy, adapts it.
    let state = PolicyState::new(&policy);
    let calls = Arc::new(AtomicU32::new(0));
    let mut service = stack(&policy, &state, ClassifyErrors, NoObserver, upstream(4, &calls));

    let mut open: Option<Duration> = None;
    while open.is_none() {
        if let Err(error) = service.ready().await?.call(request(Method::GET)).await {
            open = error.downcast_ref::<BreakerOpen>().map(|open| open.retry_after);
        }
    }
    let before = calls.load(Ordering::SeqCst);
    let status = state.breaker_snapshot().map(|breaker| breaker.status);
    outcome.breaker_opened = status == Some(BreakerStatus::Open);
    println!("after {before} failures the breaker is {status:?}, for {open:?}");

    let refused = service.ready().await?.call(request(Method::GET)).await;
    outcome.calls_while_open = calls.load(Ordering::SeqCst) - before;
    println!("meanwhile: {}; the upstream heard nothing of it", told(&refused));

    tokio::time::sleep(open.unwrap_or_default()).await;
    outcome.recovered = service.ready().await?.call(request(Method::GET)).await.is_ok();
    println!("then a probe goes through: {}", if outcome.recovered { "the upstream is back" } else { "still down" });
    Ok(())
}

fn told(result: &Result<&str, BoxError>) -> String {
    match result {
        Ok(answer) => (*answer).to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The whole program.
pub(crate) async fn run() -> Result<Outcome, AnyError> {
    let mut outcome = Outcome {
        attempts_to_success: 0,
        attempts_of_a_post: 0,
        fell_back: false,
        breaker_opened: false,
        calls_while_open: 0,
        recovered: false,
    };
    by_hand(&mut outcome).await?;
    as_a_stack(&mut outcome).await?;
    Ok(outcome)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    run().await.map(drop)
}
