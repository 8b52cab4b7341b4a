#![allow(clippy::unwrap_used, reason = "tests")]

use tower::{Layer, ServiceExt};

use super::*;
use crate::policy::PolicyEvent;
use crate::policy::fixture::{CALL, Call, DOWN, FAIL, Failure, OK, Recorder, Upstream};

/// Answers for an upstream that is down, and for calls that are idempotent.
fn substitute(request: &Call, error: &Failure) -> Option<u32> {
    (*error == DOWN && request.idempotent).then_some(42)
}

#[tokio::test]
async fn a_failure_is_answered_for_and_told() {
    let recorder = Recorder::default();
    let service = FallbackLayer::new(substitute).observed_by(recorder.clone()).layer(Upstream::always(FAIL));
    assert_eq!(service.oneshot(CALL).await, Ok(42));
    assert_eq!(recorder.events(), [PolicyEvent::FellBack]);
}

#[tokio::test]
async fn what_the_substitute_does_not_answer_for_passes() {
    let recorder = Recorder::default();
    let service = FallbackLayer::new(substitute).observed_by(recorder.clone()).layer(Upstream::always(FAIL));
    assert_eq!(service.oneshot(Call { idempotent: false, ..CALL }).await, Err(DOWN));
    assert_eq!(recorder.events(), []);
}

#[tokio::test]
async fn an_answer_passes_and_so_does_a_failure_where_there_is_no_substitute() {
    let service = FallbackLayer::new(substitute).layer(Upstream::always(OK));
    assert_eq!(service.oneshot(CALL).await, Ok(1));
    let none: Option<fn(&Call, &Failure) -> Option<u32>> = None;
    let service = FallbackLayer::maybe(none).layer(Upstream::always(FAIL));
    assert_eq!(service.oneshot(CALL).await, Err(DOWN));
}
