//! A secret goes out where it must and shows nowhere else.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use orchestrator_core::connector::{CallErrorKind, Sent};
use orchestrator_core::events::Events;
use orchestrator_core::secrets::SecretError;
use orchestrator_core::store::EventFilter;
use orchestrator_core::types::{Policy, WorkspaceId};

use super::fixture::{Canary, call, connector_with, context, engine, samples, slots, told};
use super::{ConnectorHarness, Told};

/// The forms in which a secret is looked for.
fn forms(secret: &str) -> [String; 4] {
    let bytes = secret.as_bytes();
    [secret.to_owned(), BASE64.encode(bytes), BASE64URL_NOPAD.encode(bytes), HEXLOWER.encode(bytes)]
}

fn shows(text: &str, secret: &str) -> bool {
    let text = text.to_ascii_lowercase();
    forms(secret).iter().any(|form| text.contains(&form.to_ascii_lowercase()))
}

/// Whether the upstream got the secrets of all slots: else their absence elsewhere proves nothing.
fn assert_sent(harness: &impl ConnectorHarness, secret: &str) {
    let sent = harness.seen().pop().is_some_and(|call| call.text.contains(secret) || basic(&call.text, secret));
    assert!(sent, "the upstream was sent the secret of a slot");
}

/// Whether a text holds the secret within something that is base64, as HTTP's basic authentication is.
fn basic(text: &str, secret: &str) -> bool {
    let words = text.split(|other: char| !(other.is_ascii_alphanumeric() || "+/=".contains(other)));
    let mut decoded = words.filter_map(|word| BASE64.decode(word.as_bytes()).ok());
    decoded.any(|bytes| String::from_utf8_lossy(&bytes).contains(secret))
}

/// An upstream that echoes its credentials: they are in no output, error, execution record or event.
pub async fn inv_23_an_echoed_secret_is_not_shown(harness: &impl ConnectorHarness) {
    if harness.filled_slots().is_empty() {
        return;
    }
    for what in [Told::Echo, Told::Refuse, Told::Fail] {
        told(harness, what).await;
        let (engine, workspace) = engine(harness, Policy::default()).await;
        for sample in samples(harness) {
            let call = call(&sample);
            let done = engine.execute(&workspace, call).await.expect("the call is made");
            assert_sent(harness, &Canary::text("first"));
            let id = match &done.result {
                Ok(answer) => answer.id,
                Err(failure) => failure.id,
            };
            let record = engine.executions().get(&workspace, id).await.expect("it was recorded");
            let shown = format!("{done:?} {record:?} {:?}", events(engine.events(), &workspace).await);
            assert!(shown.contains(&id.to_string()), "the search looks where something is");
            assert!(!shows(&shown, &Canary::text("first")), "{} told {what:?} shows: {shown}", sample.operation);
        }
        engine.shutdown(std::time::Duration::ZERO).await;
    }
}

/// The sentence of an error is the connector's own: no secret is in it, whatever the upstream says.
pub async fn inv_23_an_error_names_no_secret(harness: &impl ConnectorHarness) {
    let connector_for = |canary: &Canary| connector_with(harness, slots(harness, canary));
    let secret = Canary::text("first");
    for what in [Told::Refuse, Told::Fail, Told::BreakOff, Told::BeAway] {
        if !told(harness, what).await {
            continue;
        }
        let connector = connector_for(&Canary::default());
        for sample in samples(harness) {
            let failed = connector.call(&context("exe_1"), sample.operation, &sample.input).await;
            let failed = failed.expect_err("the upstream does not do it");
            assert!(!shows(&failed.detail, &secret), "told {what:?}: {}", failed.detail);
            assert!(!shows(&format!("{:?}", connector.plan("no-such-operation", &sample.input)), &secret));
        }
    }
    assert!(!shows(&format!("{:?}", slots(harness, &Canary::default())), &secret));
}

/// Secrets are asked for when they are needed: a rotated one serves the next call, without a new connector.
pub async fn a_rotated_secret_serves_the_next_call(harness: &impl ConnectorHarness) {
    if harness.filled_slots().is_empty() {
        return;
    }
    told(harness, Told::Succeed).await;
    let canary = Canary::of("before");
    let connector = connector_with(harness, slots(harness, &canary));
    for sample in samples(harness) {
        for turn in ["before", "after"] {
            canary.set(Ok(Canary::text(turn)));
            let outcome = connector.call(&context("exe_1"), sample.operation, &sample.input).await;
            assert!(outcome.is_ok(), "{outcome:?}");
            assert_sent(harness, &Canary::text(turn));
        }
    }
}

/// A call that lacks its credentials is not made.
pub async fn a_secret_that_cannot_be_had_sends_nothing(harness: &impl ConnectorHarness) {
    if harness.filled_slots().is_empty() {
        return;
    }
    told(harness, Told::Succeed).await;
    let (canary, before) = (Canary::default(), harness.seen().len());
    let connector = connector_with(harness, slots(harness, &canary));
    for problem in [SecretError::Missing, SecretError::Unreachable] {
        canary.set(Err(problem));
        for sample in samples(harness) {
            let failed = connector.call(&context("exe_1"), sample.operation, &sample.input).await;
            let failed = failed.expect_err("a secret is missing");
            assert_eq!((failed.kind, failed.sent), (CallErrorKind::SecretUnavailable, Sent::No), "{failed:?}");
        }
    }
    assert_eq!(harness.seen().len(), before);
}

async fn events(events: Events<'_>, workspace: &WorkspaceId) -> String {
    let page = events.page(workspace, None, &EventFilter::default(), 500, std::time::Duration::ZERO).await;
    format!("{:?}", page.expect("the events"))
}
