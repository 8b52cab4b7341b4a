use std::time::Duration;

use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::policy::fixture::{CALL, Failure, HANG, Recorder, Upstream, slow};
use crate::policy::{OnCall, PolicyEvent};

const TIMEOUT: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn inv_18_an_attempt_that_hangs_is_left_at_its_timeout_with_all_it_held() {
    let (recorder, upstream) = (Recorder::default(), Upstream::always(HANG));
    let mut service = AttemptTimeoutLayer::new(TIMEOUT).observed_by(recorder.clone()).layer(upstream.clone());
    let start = Instant::now();
    let mut attempt = Box::pin(service.call(CALL));
    assert_eq!((&mut attempt).await, Err(Failure::TimedOut));
    assert_eq!((start.elapsed(), upstream.in_flight()), (TIMEOUT, 0));
    assert_eq!(recorder.events(), [PolicyEvent::AttemptTimedOut { timeout: TIMEOUT }]);
    drop(attempt);
}

#[tokio::test(start_paused = true)]
async fn inv_18_waiting_for_readiness_is_part_of_the_attempt() {
    let service = AttemptTimeoutLayer::new(TIMEOUT).layer(OnCall::new(Upstream::never_ready()));
    assert_eq!(service.oneshot(CALL).await, Err(Failure::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes_through() {
    let service = AttemptTimeoutLayer::new(TIMEOUT).layer(Upstream::always(slow(49)));
    assert_eq!(service.oneshot(CALL).await, Ok(1));
}
