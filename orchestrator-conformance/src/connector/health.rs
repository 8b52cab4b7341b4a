//! A check tells how the upstream stands, and leaves nothing.

use orchestrator_core::connector::{CallErrorKind, HealthCheck, Sent};

use super::fixture::{connector, context, soon, told};
use super::{ConnectorHarness, Told};

/// Whether the kind, with the harness's settings, has a check. One that has none says so each time, and asks nobody.
async fn has_check(harness: &impl ConnectorHarness) -> bool {
    told(harness, Told::Succeed).await;
    let before = harness.seen().len();
    match connector(harness).health(&context("req_1")).await {
        Ok(HealthCheck::Passed) => true,
        Ok(HealthCheck::NotSupported) => {
            assert_eq!(harness.seen().len(), before, "who has no check asks nobody");
            false
        }
        Err(failed) => panic!("the upstream is well: {failed:?}"),
    }
}

/// An upstream that is well passes the check; one that is away does not, and has seen nothing.
pub async fn a_check_says_how_the_upstream_stands(harness: &impl ConnectorHarness) {
    if !has_check(harness).await || !told(harness, Told::BeAway).await {
        return;
    }
    let before = harness.seen().len();
    let failed = connector(harness).health(&context("req_1")).await.expect_err("it is away");
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No), "{failed:?}");
    assert!(!failed.detail.is_empty(), "a failure says in a sentence what happened");
    assert_eq!(harness.seen().len(), before);
}

/// A check that hangs and is dropped is no longer held upstream.
pub async fn inv_22_a_dropped_check_leaves_nothing(harness: &impl ConnectorHarness) {
    if !has_check(harness).await {
        return;
    }
    told(harness, Told::Hang).await;
    {
        let (connector, context) = (connector(harness), context("req_1"));
        tokio::select! {
            outcome = connector.health(&context) => {
                // An upstream may hang at the work and not at the question.
                assert!(outcome.is_ok(), "{outcome:?}");
            }
            () = soon("the upstream holds the check", harness.until_held(1)) => {}
        }
    }
    soon("the upstream lost the check", harness.until_held(0)).await;
}
