//! The layers put together.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{OnLimit, Policy};
use tower::ServiceBuilder;

use super::attempt_timeout::{AttemptTimeout, AttemptTimeoutLayer};
use super::breaker::{Breaker, BreakerLayer};
use super::concurrency::{Concurrency, ConcurrencyLayer};
use super::deadline::{Deadline, DeadlineLayer};
use super::hedge::{Hedge, HedgeLayer};
use super::on_call::OnCall;
use super::rate_limit::{RateLimit, RateLimitLayer};
use super::retry::{Retry, RetryLayer};
use super::state::PolicyState;

/// A service under a whole policy, as [`stack`] builds it. Cloning it is cheap, and clones share the state.
pub type PolicyStack<S, C, O> =
    Deadline<RateLimit<Concurrency<Retry<Hedge<Breaker<AttemptTimeout<OnCall<S>, O>, C, O>, C, O>, C, O>, C, O>, O>, O>;

/// Puts `service` under `policy`, with the lane's `state`, which was made or adapted for the same policy.
///
/// A part that the policy does not have is passed through: it neither decides nor reports anything. The policy's fallback is
/// not in it: what it answers is of the caller's own type, so [`FallbackLayer`](super::fallback::FallbackLayer) goes around
/// the stack where that is known.
///
/// ```
/// use orchestrator_core::policy::{ClassifyErrors, NoObserver, PolicyState, stack, validate};
/// use orchestrator_types::{BreakerPolicy, Policy, RetryPolicy};
/// use tower::{BoxError, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let policy = Policy {
///     retry: Some(RetryPolicy::default()),
///     breaker: Some(BreakerPolicy::default()),
///     ..Policy::default()
/// };
/// assert!(validate(&policy).is_empty());
///
/// // One state a lane, kept for as long as the lane lives; a stack whenever the policy changes.
/// let state = PolicyState::new(&policy);
/// let upstream = service_fn(|request: http::Request<()>| async move { Ok::<_, BoxError>(request.uri().clone()) });
/// let service = stack(&policy, &state, ClassifyErrors, NoObserver, upstream);
/// assert_eq!(service.oneshot(http::Request::new(())).await.unwrap(), "/");
/// # }
/// ```
pub fn stack<S, C, O>(
    policy: &Policy,
    state: &Arc<PolicyState>,
    classify: C,
    observer: O,
    service: S,
) -> PolicyStack<S, C, O>
where
    C: Clone,
    O: Clone,
{
    let total = Duration::from_millis(policy.timeout.total_ms);
    let attempt = Duration::from_millis(policy.timeout.attempt_ms);

    let limit = RateLimitLayer::new(state.limiter().cloned());
    let limit = match &policy.rate_limit {
        Some(numbers) if numbers.on_limit == OnLimit::Wait => limit.waiting_up_to(total),
        _ => limit,
    };
    let retry = match &policy.retry {
        Some(numbers) => RetryLayer::new(numbers, Arc::clone(state.budget()), classify.clone()).within(total),
        None => RetryLayer::never(Arc::clone(state.budget()), classify.clone()),
    };

    ServiceBuilder::new()
        // Outermost, so that every wait of the others counts: a call ends by it whatever they do.
        .layer(DeadlineLayer::new(total).observed_by(observer.clone()))
        // Before the bulkhead, so that a call that waits for a token holds no place.
        .layer(limit.observed_by(observer.clone()))
        // Around the retry, so that a call keeps its place between its attempts and retries cannot crowd out others.
        .layer(
            ConcurrencyLayer::new(state.bulkhead().cloned())
                .classified_by(classify.clone())
                .observed_by(observer.clone()),
        )
        // Around the breaker, so that it sees each attempt, and an open one ends the retries.
        .layer(retry.observed_by(observer.clone()))
        // Inside the retry, which sees one result, and around the breaker, which sees both attempts.
        .layer(
            HedgeLayer::new(state.hedging().cloned(), Arc::clone(state.budget()), classify.clone())
                .observed_by(observer.clone()),
        )
        // Around the timeout, so that an upstream that hangs counts as one that fails.
        .layer(BreakerLayer::new(state.breaker().cloned(), classify).observed_by(observer.clone()))
        // Innermost, so that it bounds what the upstream takes and nothing else.
        .layer(AttemptTimeoutLayer::new(attempt).observed_by(observer))
        // Always ready, so that waiting for the service is a part of the attempt.
        .service(OnCall::new(service))
}
