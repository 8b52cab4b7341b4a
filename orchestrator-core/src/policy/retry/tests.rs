#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{Jitter, RetryPolicy};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::policy::fixture::{
    ByFailure, CALL, Call, DOWN, FAIL, Failure, HANG, OK, Recorder, Step, Upstream, drop_after,
};
use crate::policy::{AttemptEnd, Class, GaveUpReason, PolicyEvent, Sent, WaitReason};

fn policy() -> RetryPolicy {
    RetryPolicy { jitter: Jitter::None, ..RetryPolicy::default() }
}

fn layer() -> RetryLayer<ByFailure> {
    RetryLayer::new(&policy(), Arc::new(Budget::new(0.2)), ByFailure)
}

const MAYBE: Class = Class::Retryable { retry_after: None, sent: Sent::Maybe };

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_each_attempt_is_told() {
    let recorder = Recorder::default();
    let slow_failure = Step(Duration::from_millis(30), Err(DOWN));
    let service = layer().observed_by(recorder.clone()).layer(Upstream::plays([slow_failure, FAIL], OK));
    assert_eq!(service.oneshot(CALL).await, Ok(3));
    let (ms, end) = (Duration::from_millis, AttemptEnd::Result);
    let backoff = Some(WaitReason::Backoff);
    assert_eq!(
        recorder.events(),
        [
            PolicyEvent::AttemptStarted { number: 1, wait: ms(0), reason: None },
            PolicyEvent::AttemptEnded { number: 1, end: end(MAYBE), duration: ms(30) },
            PolicyEvent::RetryScheduled { number: 2, delay: ms(100), reason: WaitReason::Backoff },
            PolicyEvent::AttemptStarted { number: 2, wait: ms(100), reason: backoff },
            PolicyEvent::AttemptEnded { number: 2, end: end(MAYBE), duration: ms(0) },
            PolicyEvent::RetryScheduled { number: 3, delay: ms(200), reason: WaitReason::Backoff },
            PolicyEvent::AttemptStarted { number: 3, wait: ms(200), reason: backoff },
            PolicyEvent::AttemptEnded { number: 3, end: end(Class::Success), duration: ms(0) },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_what_the_caller_gets() {
    let recorder = Recorder::default();
    let upstream = Upstream::always(FAIL);
    let service = layer().observed_by(recorder.clone()).layer(upstream.clone());
    assert_eq!(service.oneshot(CALL).await, Err(DOWN));
    assert_eq!(upstream.calls(), 3);
    let last = PolicyEvent::GaveUp { reason: GaveUpReason::Attempts, attempts: 3 };
    assert_eq!(recorder.events().last(), Some(&last));
}

#[tokio::test(start_paused = true)]
async fn inv_19_what_is_not_idempotent_is_sent_once() {
    let upstream = Upstream::always(FAIL);
    let call = Call { idempotent: false, ..CALL };
    assert_eq!(layer().layer(upstream.clone()).oneshot(call).await, Err(DOWN));
    assert_eq!(upstream.calls(), 1);
    let unsent = Step(Duration::ZERO, Err(Failure::Upstream { retry_after: None, sent: Sent::No }));
    let upstream = Upstream::plays([unsent], OK);
    assert_eq!(layer().layer(upstream.clone()).oneshot(call).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn inv_19_a_retry_after_is_waited_for_up_to_the_longest_wait() {
    for (asked, waited) in [(2, 2), (60, 5)] {
        let failure = Failure::Upstream { retry_after: Some(Duration::from_secs(asked)), sent: Sent::Maybe };
        let service = layer().layer(Upstream::plays([Step(Duration::ZERO, Err(failure))], OK));
        let start = Instant::now();
        assert_eq!(service.oneshot(CALL).await, Ok(2));
        assert_eq!(start.elapsed(), Duration::from_secs(waited));
    }
}

#[tokio::test(start_paused = true)]
async fn inv_19_under_total_failure_attempts_stay_under_the_budget_and_it_recovers_by_itself() {
    let down = Upstream::always(FAIL);
    let budget = Arc::new(Budget::new(0.2));
    let retry = RetryLayer::new(&policy(), Arc::clone(&budget), ByFailure);
    let start = Instant::now();
    // Thirty seconds of twenty calls a second, and jobs that take from the same budget.
    let mut calls = Vec::new();
    let mut job_retries = 0;
    for _ in 0..600 {
        calls.push(tokio::spawn(retry.layer(down.clone()).oneshot(CALL)));
        job_retries += u32::from(budget.withdraw());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(DOWN));
    }
    let seconds = start.elapsed().as_secs_f64();
    let allowed = 1.2 * 600.0 + f64::from(FLOOR_BURST) + f64::from(FLOOR_PER_SECOND) * seconds;
    let attempts = f64::from(down.calls() + job_retries);
    assert!(attempts <= allowed, "{attempts} attempts, {allowed} allowed");
    assert!(attempts > 700.0, "the budget is used: {attempts} attempts");
    // The upstream is well again: every call is made once.
    let well = Upstream::always(OK);
    for _ in 0..100 {
        assert!(retry.layer(well.clone()).oneshot(CALL).await.is_ok());
    }
    assert_eq!(well.calls(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_outlasts_the_deadline_is_not_begun() {
    let recorder = Recorder::default();
    let service =
        layer().within(Duration::from_millis(250)).observed_by(recorder.clone()).layer(Upstream::always(FAIL));
    let start = Instant::now();
    assert_eq!(service.oneshot(CALL).await, Err(DOWN));
    // The second wait would be 200 ms, of which only 150 are left.
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    let last = PolicyEvent::GaveUp { reason: GaveUpReason::Deadline, attempts: 2 };
    assert_eq!(recorder.events().last(), Some(&last));
}

#[tokio::test(start_paused = true)]
async fn inside_a_job_an_attempt_is_made_once() {
    let upstream = Upstream::always(FAIL);
    let job = Call { retry_allowed: false, ..CALL };
    assert_eq!(layer().layer(upstream.clone()).oneshot(job).await, Err(DOWN));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_dropped_is_told_as_cancelled() {
    let recorder = Recorder::default();
    let mut service = layer().observed_by(recorder.clone()).layer(Upstream::always(HANG));
    assert!(!drop_after(1, Duration::from_millis(7), service.call(CALL)).await);
    let duration = Duration::from_millis(7);
    assert_eq!(
        recorder.events(),
        [
            PolicyEvent::AttemptStarted { number: 1, wait: Duration::ZERO, reason: None },
            PolicyEvent::AttemptEnded { number: 1, end: AttemptEnd::Cancelled, duration },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn inv_22_dropped_after_any_number_of_polls_only_retries_that_were_made_are_paid() {
    for polls in 0..14 {
        let budget = Arc::new(Budget::new(0.0));
        let upstream = Upstream::always(FAIL);
        let mut service = RetryLayer::new(&policy(), Arc::clone(&budget), ByFailure).layer(upstream.clone());
        drop_after(polls, Duration::from_millis(30), service.call(CALL)).await;
        let left = (0..100).filter(|_| budget.withdraw()).count();
        let made = upstream.calls().saturating_sub(1);
        assert_eq!(left + made as usize, FLOOR_BURST as usize, "{polls} polls");
        assert_eq!(upstream.in_flight(), 0);
    }
}
