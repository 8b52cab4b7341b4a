#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orchestrator_types::RateLimitPolicy;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::policy::PolicyEvent;
use crate::policy::fixture::{CALL, Call, Failure, OK, Recorder, Upstream, drop_after};

fn limiter(per_second: f64, burst: u32) -> Arc<Limiter> {
    Arc::new(Limiter::new(&RateLimitPolicy { per_second, burst, ..Default::default() }))
}

#[tokio::test(start_paused = true)]
async fn over_the_limit_a_call_is_refused_and_told_when_to_come_back() {
    let recorder = Recorder::default();
    let mut service = RateLimitLayer::new(limiter(10.0, 2)).observed_by(recorder.clone()).layer(Upstream::always(OK));
    assert!(service.call(CALL).await.is_ok());
    assert!(service.call(CALL).await.is_ok());
    let after = Duration::from_millis(100);
    assert_eq!(service.call(CALL).await, Err(Failure::RateLimited(after)));
    tokio::time::advance(after).await;
    assert!(service.call(CALL).await.is_ok());
    assert_eq!(
        recorder.events(),
        [
            PolicyEvent::RateLimitAdmitted { remaining: 1 },
            PolicyEvent::RateLimitAdmitted { remaining: 0 },
            PolicyEvent::RateLimitRejected { retry_after: after },
            PolicyEvent::RateLimitAdmitted { remaining: 0 },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_admitted_in_order_and_at_the_rate() {
    let mut service =
        RateLimitLayer::new(limiter(100.0, 1)).waiting_up_to(Duration::from_secs(60)).layer(Upstream::always(OK));
    let start = Instant::now();
    let ends = join_all((0..50).map(|_| {
        let call = service.call(CALL);
        async move { (call.await.unwrap(), start.elapsed()) }
    }))
    .await;
    for (position, (number, at)) in ends.into_iter().enumerate() {
        assert_eq!(usize::try_from(number).unwrap(), position + 1);
        assert_eq!(at, Duration::from_millis(10) * u32::try_from(position).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_be_in_vain_is_refused_at_once() {
    let mut service =
        RateLimitLayer::new(limiter(1.0, 1)).waiting_up_to(Duration::from_secs(3)).layer(Upstream::always(OK));
    let waiting: Vec<_> = (0..4).map(|_| service.call(CALL)).collect();
    let start = Instant::now();
    // Its turn would come after four seconds.
    assert_eq!(service.call(CALL).await, Err(Failure::RateLimited(Duration::from_secs(4))));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let short = Call { cap: Some(Duration::from_millis(500)), ..CALL };
    assert!(matches!(service.call(short).await, Err(Failure::RateLimited(_))));
    assert!(join_all(waiting).await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_not_wait_is_refused_and_overtakes_nobody() {
    let limiter = limiter(1.0, 1);
    let mut service =
        RateLimitLayer::new(Arc::clone(&limiter)).waiting_up_to(Duration::from_secs(9)).layer(Upstream::always(OK));
    assert!(service.call(CALL).await.is_ok());
    let waiting = service.call(CALL);
    tokio::time::advance(Duration::from_secs(1)).await;
    // There is a token, and it belongs to the one that waits.
    let job = Call { may_wait: false, ..CALL };
    assert_eq!(service.call(job).await, Err(Failure::RateLimited(Duration::from_secs(1))));
    assert!(waiting.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn inv_22_dropped_after_any_number_of_polls_it_spends_nothing_and_holds_no_turn() {
    for polls in 0..8 {
        let limiter = limiter(10.0, 1);
        let mut service =
            RateLimitLayer::new(Arc::clone(&limiter)).waiting_up_to(Duration::from_secs(9)).layer(Upstream::always(OK));
        assert!(service.call(CALL).await.is_ok());
        let start = Instant::now();
        let ended = drop_after(polls, Duration::from_millis(20), service.call(CALL)).await;
        let spent = if ended { 2 } else { 1 };
        assert_eq!(ended, polls >= 6, "{polls} polls");
        // Nobody is left waiting, so the next one waits only for what was really spent.
        assert!(service.call(CALL).await.is_ok());
        let expected = Duration::from_millis(100) * spent;
        assert_eq!(start.elapsed(), expected.max(Duration::from_millis(20) * u32::try_from(polls).unwrap().min(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn looking_at_the_limit_spends_nothing() {
    let limiter = limiter(2.0, 3);
    for _ in 0..10 {
        assert_eq!(limiter.wait(), Duration::ZERO);
        assert_eq!(limiter.snapshot().remaining, 3);
    }
    let mut service = RateLimitLayer::new(Arc::clone(&limiter)).layer(Upstream::always(OK));
    for left in (0..3).rev() {
        assert!(service.call(CALL).await.is_ok());
        assert_eq!(limiter.snapshot().remaining, left);
    }
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.limit, snapshot.remaining, snapshot.reset), (3, 0, Duration::from_millis(1_500)));
    assert_eq!(limiter.wait(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn without_a_limiter_every_call_passes() {
    let service = RateLimitLayer::new(None).layer(Upstream::always(OK));
    for _ in 0..1_000 {
        assert!(service.clone().oneshot(CALL).await.is_ok());
    }
}
