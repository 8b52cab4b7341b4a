//! A call is planned before anything is sent: whether there is such an operation, whether it takes the input, and whether
//! it may be repeated.

use orchestrator_core::connector::{CallErrorKind, Idempotency, PlanError, Sent};
use serde_json::json;

use super::fixture::{connector, context, described, mutations, odd_values, pointers, samples, told};
use super::{ConnectorHarness, Told};

const UNKNOWN: &str = "no-such-operation";

/// A good input is planned, and alike each time.
pub async fn a_good_input_is_planned(harness: &impl ConnectorHarness) {
    let connector = connector(harness);
    for sample in samples(harness) {
        let plan = connector.plan(sample.operation, &sample.input);
        assert!(plan.is_ok(), "{} takes {}: {plan:?}", sample.operation, sample.input);
        assert_eq!(plan, connector.plan(sample.operation, &sample.input));
    }
}

/// A bad input is refused, and the refusal says where.
pub async fn a_bad_input_is_refused_with_pointers(harness: &impl ConnectorHarness) {
    let connector = connector(harness);
    for sample in samples(harness) {
        for (input, pointer) in &sample.refused {
            match connector.plan(sample.operation, input) {
                Err(PlanError::InvalidInput(problems)) => {
                    assert!(pointers(&problems).contains(pointer), "{input} is refused at `{pointer}`: {problems:?}");
                }
                other => panic!("{} does not take {input}: {other:?}", sample.operation),
            }
        }
    }
}

/// An operation that is not there is refused as such, whatever the input.
pub async fn an_unknown_operation_is_refused(harness: &impl ConnectorHarness) {
    let connector = connector(harness);
    for operation in [UNKNOWN, "", "\u{0}", "../request"] {
        for input in samples(harness).into_iter().map(|sample| sample.input).chain([json!({}), json!(null)]) {
            assert_eq!(connector.plan(operation, &input), Err(PlanError::OperationNotFound), "{operation:?}");
        }
    }
}

/// What the kind tells of an operation holds for its calls: only then may callers rely on it.
pub async fn a_plan_agrees_with_what_the_operation_tells(harness: &impl ConnectorHarness) {
    told(harness, Told::Succeed).await;
    let (connector, described) = (connector(harness), described(harness));
    for sample in samples(harness) {
        let Some(known) = described.iter().find(|known| known.name == sample.operation) else { continue };
        let plan = connector.plan(sample.operation, &sample.input).expect("a good input");
        match known.idempotency {
            Idempotency::Always | Idempotency::ByKey => assert!(plan.idempotent, "{}", sample.operation),
            Idempotency::Never => assert!(!plan.idempotent, "{}", sample.operation),
            _ => {}
        }
        if known.idempotency == Idempotency::ByKey {
            let _ = connector.call(&context("exe_1"), sample.operation, &sample.input).await;
            let key = harness.seen().pop().expect("the upstream saw it").idempotency_key;
            assert!(key.is_some(), "each call of {} carries a key", sample.operation);
        }
    }
}

/// Inputs come from products: whatever they hold is refused or planned.
pub async fn inv_29_inputs_of_any_shape_do_not_panic(harness: &impl ConnectorHarness) {
    let connector = connector(harness);
    for sample in samples(harness) {
        for input in odd_values().into_iter().chain(mutations(&sample.input)) {
            if let Err(PlanError::InvalidInput(problems)) = connector.plan(sample.operation, &input) {
                assert!(!problems.is_empty(), "a refusal says why: {input}");
            }
        }
    }
}

/// Planning only looks.
pub async fn planning_sends_nothing(harness: &impl ConnectorHarness) {
    told(harness, Told::Succeed).await;
    let (connector, before) = (connector(harness), harness.seen().len());
    for sample in samples(harness) {
        connector.plan(sample.operation, &sample.input).expect("a good input");
    }
    assert_eq!(harness.seen().len(), before);
}

/// A call that would have been refused is not sent either, should somebody make it.
pub async fn what_was_refused_is_not_sent(harness: &impl ConnectorHarness) {
    told(harness, Told::Succeed).await;
    let (connector, before) = (connector(harness), harness.seen().len());
    for sample in samples(harness) {
        let refused = sample.refused.into_iter().map(|(input, _)| (sample.operation, input));
        for (operation, input) in refused.chain([(UNKNOWN, sample.input)]) {
            let failed = connector.call(&context("exe_1"), operation, &input).await;
            let failed = failed.expect_err("what cannot be planned cannot be called");
            assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::No), "{operation} {input}");
        }
    }
    assert_eq!(harness.seen().len(), before);
}
