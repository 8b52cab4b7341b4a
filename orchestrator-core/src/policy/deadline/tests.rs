#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::policy::fixture::{CALL, Call, Failure, HANG, Recorder, Step, Upstream, slow};
use crate::policy::{OnCall, PolicyEvent};

const TOTAL: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn inv_18_an_upstream_that_never_answers_is_left_at_the_deadline() {
    let upstream = Upstream::always(HANG);
    let recorder = Recorder::default();
    let service = DeadlineLayer::new(TOTAL).observed_by(recorder.clone()).layer(upstream.clone());
    let start = Instant::now();
    assert_eq!(service.oneshot(CALL).await, Err(Failure::Deadline));
    assert_eq!(start.elapsed(), TOTAL);
    assert_eq!(recorder.events(), [PolicyEvent::DeadlineExceeded { total: TOTAL }]);
}

#[tokio::test(start_paused = true)]
async fn inv_18_waiting_for_readiness_counts() {
    let service = DeadlineLayer::new(TOTAL).layer(OnCall::new(Upstream::never_ready()));
    let start = Instant::now();
    assert_eq!(service.oneshot(CALL).await, Err(Failure::Deadline));
    assert_eq!(start.elapsed(), TOTAL);
}

#[tokio::test(start_paused = true)]
async fn inv_18_what_the_call_held_is_free_at_the_deadline_even_if_the_future_is_kept() {
    let upstream = Upstream::always(HANG);
    let mut service = DeadlineLayer::new(TOTAL).layer(upstream.clone());
    let mut future = Box::pin(service.call(CALL));
    assert_eq!((&mut future).await, Err(Failure::Deadline));
    assert_eq!(upstream.in_flight(), 0);
    drop(future);
}

#[tokio::test(start_paused = true)]
async fn a_request_shortens_the_deadline_and_never_lengthens_it() {
    let service = DeadlineLayer::new(TOTAL).layer(Upstream::always(HANG));
    for (cap, expected) in [(100, 100), (9_000, 500)] {
        let start = Instant::now();
        let call = Call { cap: Some(Duration::from_millis(cap)), ..CALL };
        assert_eq!(service.clone().oneshot(call).await, Err(Failure::Deadline));
        assert_eq!(start.elapsed(), Duration::from_millis(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes_through() {
    let service = DeadlineLayer::new(TOTAL).layer(Upstream::always(slow(499)));
    assert_eq!(service.oneshot(CALL).await, Ok(1));
}

proptest! {
    #[test]
    fn inv_18_no_call_ends_later_than_its_deadline(takes in 0_u64..2_000, total in 1_u64..1_000, cap in 1_u64..1_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let upstream = Upstream::always(Step(Duration::from_millis(takes), Ok(())));
            let service = DeadlineLayer::new(Duration::from_millis(total)).layer(upstream);
            let limit = total.min(cap);
            let start = Instant::now();
            let result = service.oneshot(Call { cap: Some(Duration::from_millis(cap)), ..CALL }).await;
            prop_assert_eq!(start.elapsed(), Duration::from_millis(takes.min(limit)));
            prop_assert_eq!(result.is_ok(), takes <= limit);
            Ok(())
        })?;
    }
}
