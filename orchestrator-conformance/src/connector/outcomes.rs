//! How an attempt ended is told truly: retry, breaker and dead letters are decided on it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use jsonschema::validator_for;
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};

use super::fixture::{connector, context, described, samples, told};
use super::{ConnectorHarness, Told};

/// Calls that are made at once.
const AT_ONCE: usize = 32;

/// The outcome of one attempt of each sample with an upstream that was told `what`; `None` if it cannot be.
async fn failures(harness: &impl ConnectorHarness, what: Told) -> Option<Vec<CallError>> {
    if !told(harness, what).await {
        return None;
    }
    let (connector, mut failures) = (connector(harness), Vec::new());
    for sample in samples(harness) {
        match connector.call(&context("exe_1"), sample.operation, &sample.input).await {
            Err(failure) => failures.push(failure),
            Ok(output) => panic!("{} did not succeed with an upstream told {what:?}: {output}", sample.operation),
        }
    }
    for failure in &failures {
        assert!(!failure.detail.is_empty(), "a failure says in a sentence what happened");
    }
    Some(failures)
}

/// What is told of a call that the upstream answered, and did not do.
fn answered(harness: &impl ConnectorHarness) -> Sent {
    if harness.no_means_not_done() { Sent::No } else { Sent::Maybe }
}

/// An upstream that does what it is asked makes an output, which is what the operation's schema says.
pub async fn a_success_is_what_its_schema_says(harness: &impl ConnectorHarness) {
    told(harness, Told::Succeed).await;
    let (connector, described) = (connector(harness), described(harness));
    for sample in samples(harness) {
        let output = connector.call(&context("exe_1"), sample.operation, &sample.input).await;
        let output = output.unwrap_or_else(|failed| panic!("{} succeeds: {failed:?}", sample.operation));
        let Some(known) = described.iter().find(|known| known.name == sample.operation) else { continue };
        let schema = validator_for(&known.output_schema).expect("a schema");
        assert!(schema.is_valid(&output), "the output schema of {} takes {output}", sample.operation);
    }
}

/// What the upstream refuses for good is [`CallErrorKind::Rejected`].
pub async fn a_refusal_is_final(harness: &impl ConnectorHarness) {
    for failure in failures(harness, Told::Refuse).await.unwrap_or_default() {
        assert_eq!((failure.kind, failure.sent), (CallErrorKind::Rejected, answered(harness)), "{failure:?}");
    }
}

/// What may pass is [`CallErrorKind::Failed`].
pub async fn a_failure_may_pass(harness: &impl ConnectorHarness) {
    for failure in failures(harness, Told::Fail).await.unwrap_or_default() {
        assert_eq!((failure.kind, failure.sent), (CallErrorKind::Failed, answered(harness)), "{failure:?}");
        assert_eq!(failure.retry_after, None, "nobody asked for a wait");
    }
}

/// An upstream that asks to be left alone for a while is heard.
pub async fn a_wait_that_was_asked_for_is_told(harness: &impl ConnectorHarness) {
    let wait = Duration::from_secs(7);
    for failure in failures(harness, Told::AskToWait(wait)).await.unwrap_or_default() {
        assert_eq!((failure.kind, failure.retry_after), (CallErrorKind::Failed, Some(wait)), "{failure:?}");
    }
}

/// After a connection that broke nobody knows whether the upstream did it.
pub async fn a_call_that_was_cut_off_may_have_been_seen(harness: &impl ConnectorHarness) {
    for failure in failures(harness, Told::BreakOff).await.unwrap_or_default() {
        assert_eq!((failure.kind, failure.sent), (CallErrorKind::Failed, Sent::Maybe), "{failure:?}");
    }
}

/// What was not reached has seen nothing: such a call may be sent again, whatever it is.
pub async fn an_upstream_that_is_away_has_seen_nothing(harness: &impl ConnectorHarness) {
    let before = harness.seen().len();
    for failure in failures(harness, Told::BeAway).await.unwrap_or_default() {
        assert_eq!((failure.kind, failure.sent), (CallErrorKind::Unreachable, Sent::No), "{failure:?}");
    }
    assert_eq!(harness.seen().len(), before);
}

/// For upstreams that speak HTTP: 4xx is final, save 408, 425 and 429, which may pass as 5xx may.
pub async fn a_status_means_what_the_trait_says(harness: &impl ConnectorHarness) {
    for status in [400, 401, 403, 404, 408, 409, 410, 422, 425, 429, 451, 500, 501, 502, 503, 504, 599] {
        let passes = matches!(status, 408 | 425 | 429 | 500..);
        let kind = if passes { CallErrorKind::Failed } else { CallErrorKind::Rejected };
        let Some(failures) = failures(harness, Told::Status(status)).await else { return };
        for failure in failures {
            assert_eq!((failure.kind, failure.sent), (kind, Sent::Maybe), "{status}: {failure:?}");
            assert_eq!(failure.upstream.map(|view| view.status), Some(status), "the answer is shown");
        }
    }
}

/// Retries are the policies' work: a connector that repeats calls by itself would multiply them.
pub async fn one_attempt_is_one_call(harness: &impl ConnectorHarness) {
    for what in [Told::Succeed, Told::Refuse, Told::Fail, Told::BreakOff] {
        if !told(harness, what).await {
            continue;
        }
        let (connector, before) = (connector(harness), harness.seen().len());
        let samples = samples(harness);
        for sample in &samples {
            // How it ends is not asked here.
            let _ = connector.call(&context("exe_1"), sample.operation, &sample.input).await;
        }
        assert_eq!(harness.seen().len() - before, samples.len(), "with an upstream told {what:?}");
    }
}

/// What counts as idempotent by its key carries the same key on each attempt, and another for another call.
pub async fn inv_11_each_attempt_carries_the_same_key(harness: &impl ConnectorHarness) {
    told(harness, Told::Fail).await;
    let connector = connector(harness);
    for sample in samples(harness) {
        let plan = connector.plan(sample.operation, &sample.input).expect("a good input");
        let mut keys = Vec::new();
        for subject in ["exe_1", "exe_1", "exe_1", "exe_2"] {
            let _ = connector.call(&context(subject), sample.operation, &sample.input).await;
            keys.push(harness.seen().pop().expect("the upstream saw it").idempotency_key);
        }
        assert!(keys[..3].iter().all(|key| *key == keys[0]), "{}: {keys:?}", sample.operation);
        if keys[0].is_some() {
            assert!(plan.idempotent, "a call that carries a key counts as idempotent: {}", sample.operation);
            assert_ne!(keys[0], keys[3], "another call has another key: {}", sample.operation);
        }
    }
}

/// A connector is shared by all calls of its workspace; each gets its own answer.
pub async fn calls_at_once_do_not_mix(harness: &impl ConnectorHarness) {
    told(harness, Told::Succeed).await;
    let (connector, before) = (connector(harness), harness.seen().len());
    let samples = samples(harness);
    let sample = &samples[0];
    let calls = (0..AT_ONCE).map(|number| {
        let connector = connector.clone();
        async move { connector.call(&context(&format!("exe_{number}")), sample.operation, &sample.input).await }
    });
    for outcome in join_all(calls).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    let seen = harness.seen().split_off(before);
    assert_eq!(seen.len(), AT_ONCE);
    let keys: BTreeSet<_> = seen.iter().filter_map(|call| call.idempotency_key.as_ref()).collect();
    let keyed = seen.iter().filter(|call| call.idempotency_key.is_some()).count();
    assert_eq!(keys.len(), keyed, "no two calls share a key");
}
