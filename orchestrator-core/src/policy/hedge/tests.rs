#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::HedgePolicy;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::*;
use crate::policy::fixture::{
    ByFailure, CALL, Call, DOWN, Failure, HANG, OK, Recorder, Step, Upstream, drop_after, slow,
};
use crate::policy::retry::{Budget, FLOOR_BURST};
use crate::policy::{AttemptEnd, Class, NoObserver, PolicyEvent, Sent};

/// What most attempts take, and after how long they are hedged for it: a quantile is told a little higher than it is.
const USUAL: u64 = 20;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn failing_after(millis: u64) -> Step {
    Step(ms(millis), Err(DOWN))
}

/// A lane that knows how long its attempts take.
async fn knowing() -> Arc<Hedging> {
    let hedging = Arc::new(Hedging::new(&HedgePolicy::default()));
    let mut service = HedgeLayer::new(Arc::clone(&hedging), Arc::new(Budget::new(0.0)), ByFailure)
        .layer(Upstream::always(slow(USUAL)));
    for _ in 0..20 {
        service.call(CALL).await.unwrap();
    }
    hedging
}

fn hedged(
    hedging: &Arc<Hedging>,
    upstream: &Upstream,
    recorder: &Recorder,
) -> (Arc<Budget>, Hedge<Upstream, ByFailure, Recorder>) {
    let budget = Arc::new(Budget::new(0.0));
    let layer = HedgeLayer::new(Arc::clone(hedging), Arc::clone(&budget), ByFailure).observed_by(recorder.clone());
    (budget, layer.layer(upstream.clone()))
}

fn left(budget: &Budget) -> usize {
    (0..100).filter(|_| budget.withdraw()).count()
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_gets_a_second_one_and_its_answer_counts() {
    let hedging = knowing().await;
    let delay = hedging.delay().unwrap();
    assert!((ms(20)..=ms(25)).contains(&delay), "{delay:?}");
    let (upstream, recorder) = (Upstream::plays([HANG], slow(USUAL)), Recorder::default());
    let (budget, mut service) = hedged(&hedging, &upstream, &recorder);
    let start = Instant::now();
    assert_eq!(service.call(CALL).await, Ok(2));
    assert!(start.elapsed() <= delay + ms(USUAL + 2));
    assert_eq!((upstream.calls(), upstream.in_flight()), (2, 0));
    assert_eq!(left(&budget), FLOOR_BURST as usize - 1);
    let events = recorder.events();
    assert_eq!(events[0], PolicyEvent::HedgeStarted { delay });
    assert!(matches!(events[1], PolicyEvent::HedgeEnded { end: AttemptEnd::Result(Class::Success), used: true, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_is_answered_after_all_ends_the_second() {
    let hedging = knowing().await;
    let (upstream, recorder) = (Upstream::plays([slow(30)], HANG), Recorder::default());
    let (_, mut service) = hedged(&hedging, &upstream, &recorder);
    assert_eq!(service.call(CALL).await, Ok(1));
    assert_eq!((upstream.calls(), upstream.in_flight()), (2, 0));
    assert!(matches!(recorder.events()[1], PolicyEvent::HedgeEnded { end: AttemptEnd::Cancelled, used: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_fails_leaves_the_second_its_chance() {
    let hedging = knowing().await;
    let (upstream, recorder) = (Upstream::plays([failing_after(30)], slow(USUAL)), Recorder::default());
    let (_, mut service) = hedged(&hedging, &upstream, &recorder);
    assert_eq!(service.call(CALL).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn if_neither_succeeds_the_result_is_the_first_ones() {
    let hedging = knowing().await;
    let unsent = Failure::Upstream { retry_after: Some(ms(7)), sent: Sent::No };
    for second in [30, 60] {
        let steps = [Step(ms(50), Err(unsent)), failing_after(second - 20)];
        let (upstream, recorder) = (Upstream::plays(steps, OK), Recorder::default());
        let (_, mut service) = hedged(&hedging, &upstream, &recorder);
        assert_eq!(service.call(CALL).await, Err(unsent), "the second fails after {second} ms");
        assert_eq!((upstream.calls(), upstream.in_flight()), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_its_time_is_not_hedged() {
    let hedging = knowing().await;
    let (upstream, recorder) = (Upstream::always(failing_after(5)), Recorder::default());
    let (_, mut service) = hedged(&hedging, &upstream, &recorder);
    assert_eq!(service.call(CALL).await, Err(DOWN));
    assert_eq!((upstream.calls(), recorder.events().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn inv_19_what_is_not_idempotent_or_not_to_be_retried_is_never_hedged() {
    let hedging = knowing().await;
    let (upstream, recorder) = (Upstream::always(slow(500)), Recorder::default());
    let (_, mut service) = hedged(&hedging, &upstream, &recorder);
    for call in [Call { idempotent: false, ..CALL }, Call { retry_allowed: false, ..CALL }] {
        assert!(service.call(call).await.is_ok());
    }
    assert_eq!((upstream.calls(), recorder.events().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn inv_19_without_budget_nothing_is_hedged() {
    let hedging = knowing().await;
    let (upstream, recorder) = (Upstream::always(slow(500)), Recorder::default());
    let (budget, mut service) = hedged(&hedging, &upstream, &recorder);
    while budget.withdraw() {}
    // The floor gives one back each second: it is spent before the second is over.
    assert!(service.call(CALL).await.is_ok());
    assert_eq!(upstream.calls(), 1);
    assert_eq!(recorder.events(), [PolicyEvent::HedgeSkipped { delay: hedging.delay().unwrap() }]);
}

#[tokio::test(start_paused = true)]
async fn before_it_is_known_how_long_attempts_take_nothing_is_hedged() {
    let upstream = Upstream::always(slow(100));
    let hedging = Arc::new(Hedging::new(&HedgePolicy::default()));
    let mut service =
        HedgeLayer::new(Arc::clone(&hedging), Arc::new(Budget::new(1.0)), ByFailure).layer(upstream.clone());
    for _ in 0..19 {
        service.call(CALL).await.unwrap();
    }
    assert_eq!((upstream.calls(), hedging.delay()), (19, None));
}

#[tokio::test(start_paused = true)]
async fn inv_22_dropped_after_any_number_of_polls_neither_attempt_is_left() {
    let hedging = knowing().await;
    let mut calls = 0;
    for polls in 0..12 {
        let (upstream, recorder) = (Upstream::always(HANG), Recorder::default());
        let (_, mut service) = hedged(&hedging, &upstream, &recorder);
        assert!(!drop_after(polls, ms(5), service.call(CALL)).await);
        assert_eq!(upstream.in_flight(), 0, "{polls} polls");
        calls = calls.max(upstream.calls());
        let (mut began, mut ended) = (0, 0);
        for event in recorder.events() {
            began += u32::from(matches!(event, PolicyEvent::HedgeStarted { .. }));
            ended += u32::from(matches!(event, PolicyEvent::HedgeEnded { .. }));
        }
        assert_eq!(began, ended, "{polls} polls");
    }
    assert_eq!(calls, 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_hedging_every_attempt_passes() {
    let upstream = Upstream::always(slow(500));
    let mut service: Hedge<_, _, NoObserver> =
        HedgeLayer::new(None, Arc::new(Budget::new(1.0)), ByFailure).layer(upstream.clone());
    assert!(service.call(CALL).await.is_ok());
    assert_eq!(upstream.calls(), 1);
}
