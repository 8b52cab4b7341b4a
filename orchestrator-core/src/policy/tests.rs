//! The whole stack, end to end, over a scripted upstream and paused time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orchestrator_types::{
    AdaptivePolicy, BreakerPolicy, ConcurrencyPolicy, HedgePolicy, Jitter, OnLimit, Policy, RateLimitPolicy,
    RetryPolicy, TimeoutPolicy,
};
use proptest::prelude::*;
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt, service_fn};

use super::breaker::{BreakerStatus, Counts};
use super::fixture::{
    ByFailure, CALL, Call, DOWN, FAIL, Failure, HANG, OK, Recorder, Step, Upstream, drop_after, slow,
};
use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn policy() -> Policy {
    Policy {
        timeout: TimeoutPolicy { attempt_ms: 100, total_ms: 1_000 },
        retry: Some(RetryPolicy { jitter: Jitter::None, ..RetryPolicy::default() }),
        breaker: Some(BreakerPolicy {
            window_s: 30,
            min_calls: 4,
            failure_ratio: 0.5,
            open_s: 5,
            half_open_calls: 1,
            ..BreakerPolicy::default()
        }),
        rate_limit: Some(RateLimitPolicy { per_second: 100.0, burst: 50, on_limit: OnLimit::Wait }),
        concurrency: Some(ConcurrencyPolicy { max: 5, queue: 20, adaptive: None }),
        ..Policy::default()
    }
}

fn lane(policy: &Policy, upstream: &Upstream) -> (Arc<PolicyState>, PolicyStack<Upstream, ByFailure, NoObserver>) {
    let state = PolicyState::new(policy);
    let service = stack(policy, &state, ByFailure, NoObserver, upstream.clone());
    (state, service)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_well_passes_every_layer_and_each_says_so() {
    let policy = policy();
    let recorder = Recorder::default();
    let service = stack(&policy, &PolicyState::new(&policy), ByFailure, recorder.clone(), Upstream::always(slow(20)));
    assert_eq!(service.oneshot(CALL).await, Ok(1));
    assert_eq!(
        recorder.events(),
        [
            PolicyEvent::RateLimitAdmitted { remaining: 49 },
            PolicyEvent::ConcurrencyAdmitted { in_flight: 1, max: 5 },
            PolicyEvent::AttemptStarted { number: 1, wait: ms(0), reason: None },
            PolicyEvent::BreakerAdmitted { status: BreakerStatus::Closed, counts: Counts::default() },
            PolicyEvent::AttemptEnded { number: 1, end: AttemptEnd::Result(Class::Success), duration: ms(20) },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_timed_out_and_made_again() {
    let policy = policy();
    let recorder = Recorder::default();
    let upstream = Upstream::plays([HANG], OK);
    let service = stack(&policy, &PolicyState::new(&policy), ByFailure, recorder.clone(), upstream.clone());
    assert_eq!(service.oneshot(CALL).await, Ok(2));
    assert_eq!(upstream.in_flight(), 0);
    let timed_out = Class::Retryable { retry_after: None, sent: Sent::Maybe };
    assert_eq!(
        recorder.events()[4..7],
        [
            PolicyEvent::AttemptTimedOut { timeout: ms(100) },
            PolicyEvent::AttemptEnded { number: 1, end: AttemptEnd::Result(timed_out), duration: ms(100) },
            PolicyEvent::RetryScheduled { number: 2, delay: ms(100), reason: WaitReason::Backoff },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_an_attempt_which_is_then_told_as_cancelled() {
    let mut policy = policy();
    policy.timeout.attempt_ms = 1_000;
    let recorder = Recorder::default();
    let service = stack(&policy, &PolicyState::new(&policy), ByFailure, recorder.clone(), Upstream::always(HANG));
    let call = Call { cap: Some(ms(50)), ..CALL };
    assert_eq!(service.oneshot(call).await, Err(Failure::Deadline));
    assert_eq!(
        recorder.events()[4..],
        [
            PolicyEvent::DeadlineExceeded { total: ms(50) },
            PolicyEvent::AttemptEnded { number: 1, end: AttemptEnd::Cancelled, duration: ms(50) },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn inv_18_waiting_for_a_place_counts_against_the_deadline() {
    let mut policy = policy();
    policy.timeout.attempt_ms = 1_000;
    policy.concurrency = Some(ConcurrencyPolicy { max: 1, queue: 5, adaptive: None });
    let (state, mut service) = lane(&policy, &Upstream::always(HANG));
    let start = Instant::now();
    let results = join_all([service.call(CALL), service.call(CALL)]).await;
    assert_eq!(start.elapsed(), ms(1_000));
    // The attempt's own timeout falls on the deadline.
    assert!(results.iter().all(Result::is_err));
    assert_eq!(state.bulkhead().unwrap().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_the_retries_and_nothing_is_sent() {
    let policy = policy();
    let recorder = Recorder::default();
    let upstream = Upstream::always(FAIL);
    let state = PolicyState::new(&policy);
    let service = stack(&policy, &state, ByFailure, recorder.clone(), upstream.clone());
    assert_eq!(service.clone().oneshot(CALL).await, Err(DOWN));
    // The fourth attempt opens it: there is no fifth.
    assert!(matches!(service.clone().oneshot(CALL).await, Err(Failure::BreakerOpen(_))));
    assert_eq!(upstream.calls(), 4);
    assert!(recorder.events().contains(&PolicyEvent::GaveUp { reason: GaveUpReason::Final, attempts: 2 }));
    assert_eq!(state.breaker_snapshot().unwrap().status, BreakerStatus::Open);
    assert!(state.lane_wait().unwrap() > ms(4_000));
}

#[tokio::test(start_paused = true)]
async fn inv_21_a_job_is_refused_at_once_where_a_call_would_wait_and_the_lane_tells_for_how_long() {
    let mut policy = policy();
    policy.rate_limit = Some(RateLimitPolicy { per_second: 2.0, burst: 1, on_limit: OnLimit::Wait });
    let upstream = Upstream::always(OK);
    let (state, service) = lane(&policy, &upstream);
    assert_eq!(state.lane_wait(), None);
    assert_eq!(service.clone().oneshot(CALL).await, Ok(1));
    let job = Call { may_wait: false, retry_allowed: false, ..CALL };
    assert_eq!(service.clone().oneshot(job).await, Err(Failure::RateLimited(ms(500))));
    assert_eq!(state.lane_wait(), Some(ms(500)));
    let start = Instant::now();
    assert_eq!(service.oneshot(CALL).await, Ok(2));
    assert_eq!(start.elapsed(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn inv_15_what_one_lane_does_is_not_felt_in_another() {
    let policy = policy();
    let upstream = Upstream::plays([FAIL, FAIL, FAIL, FAIL], OK);
    let (noisy, noisy_service) = lane(&policy, &upstream);
    let (quiet, quiet_service) = lane(&policy, &upstream);
    for _ in 0..2 {
        let _ = noisy_service.clone().oneshot(CALL).await;
    }
    while noisy.budget().withdraw() {}
    while noisy.limiter().unwrap().admit().is_ok() {}
    assert_eq!(noisy.breaker_snapshot().unwrap().status, BreakerStatus::Open);
    assert_eq!(quiet.breaker_snapshot().unwrap().status, BreakerStatus::Closed);
    assert_eq!(quiet.rate_limit_snapshot().unwrap().remaining, 50);
    assert!(quiet.budget().withdraw());
    assert_eq!(quiet.lane_wait(), None);
    assert!(quiet_service.oneshot(CALL).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_timeouts_alone_decides_nothing_else() {
    let policy = Policy::default();
    let recorder = Recorder::default();
    let state = PolicyState::new(&policy);
    let upstream = Upstream::always(slow(10));
    let service = stack(&policy, &state, ByFailure, recorder.clone(), upstream.clone());
    let results = join_all((0..500).map(|_| service.clone().oneshot(CALL))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(upstream.most(), 500);
    let attempts =
        |event: &PolicyEvent| matches!(event, PolicyEvent::AttemptStarted { .. } | PolicyEvent::AttemptEnded { .. });
    assert!(recorder.events().iter().all(attempts));
    assert_eq!((state.lane_wait(), state.rate_limit_snapshot(), state.breaker_snapshot()), (None, None, None));
}

#[test]
fn a_stack_and_its_calls_go_to_any_thread() {
    fn any_thread<T: Send + 'static>() {}
    type Stack = PolicyStack<Upstream, ByFailure, Recorder>;
    any_thread::<Stack>();
    any_thread::<<Stack as Service<Call>>::Future>();
}

#[tokio::test(start_paused = true)]
async fn a_boxed_error_serves_the_whole_stack() {
    let policy = policy();
    let hang = service_fn(|_: http::Request<()>| std::future::pending::<Result<(), BoxError>>());
    let service = stack(&policy, &PolicyState::new(&policy), ClassifyErrors, NoObserver, hang);
    let error = service.oneshot(http::Request::new(())).await.unwrap_err();
    assert!(error.is::<AttemptTimedOut>());
}

/// Everything of the stack is in use: a token to wait for, a place to wait for, an attempt that fails and one that takes
/// its time, as the only probe of a half-open breaker.
#[tokio::test(start_paused = true)]
async fn inv_22_dropped_after_any_number_of_polls_the_stack_holds_nothing() {
    let mut policy = policy();
    policy.rate_limit = Some(RateLimitPolicy { per_second: 50.0, burst: 1, on_limit: OnLimit::Wait });
    policy.concurrency = Some(ConcurrencyPolicy { max: 1, queue: 1, adaptive: None });
    if let Some(breaker) = &mut policy.breaker {
        breaker.min_calls = 2;
        breaker.open_s = 1;
    }
    let mut endings = Vec::new();
    for polls in 0..60 {
        let upstream = Upstream::plays([FAIL, FAIL], slow(40));
        let (state, mut service) = lane(&policy, &upstream);
        // Opens the breaker, and lets its time pass.
        assert!(matches!(service.call(CALL).await, Err(Failure::BreakerOpen(_))));
        tokio::time::advance(ms(1_000)).await;
        assert_eq!(state.breaker_snapshot().unwrap().status, BreakerStatus::HalfOpen);
        // The token goes to one that then holds the place without being polled.
        let blocker = service.call(CALL);
        let blocker = tokio::spawn(async move {
            let mut blocker = std::pin::pin!(blocker);
            let _ = tokio::time::timeout(ms(30), blocker.as_mut()).await;
        });
        tokio::task::yield_now().await;

        endings.push(drop_after(polls, ms(5), service.call(CALL)).await);

        blocker.await.unwrap();
        let bulkhead = state.bulkhead().unwrap();
        assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0), "{polls} polls");
        assert_eq!(upstream.in_flight(), 0, "{polls} polls");
        // Nobody waits for a token, and the probe is free: the lane opens within the limit's own period.
        assert!(state.lane_wait().unwrap_or_default() <= ms(20), "{polls} polls");
        assert!(service.call(CALL).await.is_ok(), "{polls} polls");
    }
    assert_eq!((endings.first(), endings.last()), (Some(&false), Some(&true)));
}

fn any_step() -> impl Strategy<Value = Step> {
    let failure = prop_oneof![
        Just(Ok(())),
        Just(Err(DOWN)),
        Just(Err(Failure::Refused)),
        (0_u64..20_000).prop_map(|asked| Err(Failure::Upstream { retry_after: Some(ms(asked)), sent: Sent::No })),
    ];
    (prop_oneof![Just(0), 0_u64..200, Just(1_000_000)], failure).prop_map(|(takes, result)| Step(ms(takes), result))
}

proptest! {
    // Whatever the upstream does and however many come at once: every call ends by its deadline, and what it held is
    // free.
    #[test]
    fn inv_18_every_call_ends_by_its_deadline_and_leaves_nothing(
        steps in proptest::collection::vec(any_step(), 0..20),
        then in any_step(),
        calls in 1_usize..40,
        cap in 1_u64..1_500,
        per_second in 5.0_f64..500.0,
        max in 1_u32..10,
        idempotent in any::<bool>(),
        hedged in any::<bool>(),
        adaptive in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let mut policy = policy();
            policy.rate_limit = Some(RateLimitPolicy { per_second, burst: 10, on_limit: OnLimit::Wait });
            let adaptive = adaptive.then(|| AdaptivePolicy { min: 1, ..AdaptivePolicy::default() });
            policy.concurrency = Some(ConcurrencyPolicy { max, queue: 10, adaptive });
            policy.hedge = hedged.then_some(HedgePolicy { quantile: 0.5, min_ms: 1 });
            let upstream = Upstream::plays(steps, then);
            let (state, mut service) = lane(&policy, &upstream);
            let start = Instant::now();
            let call = Call { cap: Some(ms(cap)), idempotent, ..CALL };
            let ends = join_all((0..calls).map(|_| {
                let call = service.call(call);
                async move { let _ = call.await; start.elapsed() }
            })).await;
            for end in ends {
                prop_assert!(end <= ms(cap.min(1_000)));
            }
            let bulkhead = state.bulkhead().unwrap();
            prop_assert_eq!((bulkhead.in_flight(), bulkhead.waiting(), upstream.in_flight()), (0, 0, 0));
            // A call has one place, and two attempts in it at the most.
            let attempts = if hedged { 2 } else { 1 };
            prop_assert!(upstream.most() <= max * attempts);
            Ok(())
        })?;
    }
}
