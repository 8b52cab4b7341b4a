//! Schemas are true: what they take is taken, what they refuse is refused, and outputs are what they say.

use jsonschema::{Validator, validator_for};
use orchestrator_core::connector::{OperationDescription, PlanError, SecretSlots};
use serde_json::{Value, json};

use super::fixture::{connector, context, described, mutations, odd_values, registry, samples, told};
use super::{ConnectorHarness, Sample, Told};

/// Each sample whose operation is described, with what is told of it.
fn known(harness: &impl ConnectorHarness) -> Vec<(Sample, OperationDescription)> {
    let described = described(harness);
    let of = |sample: Sample| {
        let known = described.iter().find(|known| known.name == sample.operation)?;
        Some((sample, known.clone()))
    };
    samples(harness).into_iter().filter_map(of).collect()
}

fn compiled(schema: &Value) -> Validator {
    validator_for(schema).expect("the schema compiles")
}

fn examples(schema: &Value) -> Vec<Value> {
    schema.get("examples").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Examples are copied by people: each that a schema gives is taken, by the schema and by the kind.
pub async fn every_example_is_taken(harness: &impl ConnectorHarness) {
    let (connector, description) = (connector(harness), harness.kind().describe());
    for operation in described(harness) {
        let schema = compiled(&operation.input_schema);
        for example in examples(&operation.input_schema) {
            assert!(schema.is_valid(&example), "the schema of `{}` takes its example {example}", operation.name);
            let plan = connector.plan(&operation.name, &example);
            assert!(plan.is_ok(), "`{}` takes its example {example}: {plan:?}", operation.name);
        }
    }
    let (registry, kind) = registry(harness);
    for example in examples(&description.settings_schema) {
        let problems = registry.check(&kind, &example, SecretSlots::default());
        assert_eq!(problems, Some(Vec::new()), "the settings take their example {example}");
    }
}

/// A schema that refuses what the kind takes would keep callers from something that works; one that the kind does not
/// enforce is no promise. So whatever an operation's schema refuses is refused, with the problems and where they are.
pub async fn what_a_schema_refuses_is_refused(harness: &impl ConnectorHarness) {
    let connector = connector(harness);
    for (sample, operation) in known(harness) {
        let schema = compiled(&operation.input_schema);
        let mut refused = 0;
        for input in odd_values().into_iter().chain(mutations(&sample.input)).chain(misspelt(&sample.input)) {
            if schema.is_valid(&input) {
                continue;
            }
            refused += 1;
            match connector.plan(sample.operation, &input) {
                Err(PlanError::InvalidInput(problems)) => assert!(!problems.is_empty(), "it says why: {input}"),
                other => panic!("the schema of `{}` refuses {input}, and the plan is {other:?}", sample.operation),
            }
        }
        let open = schema.is_valid(&json!(null)) && schema.is_valid(&json!([]));
        assert!(refused > 0 || open, "the schema of `{}` says what it takes", sample.operation);
    }
}

/// The document with a field that nobody knows.
fn misspelt(document: &Value) -> Option<Value> {
    let mut document = document.clone();
    document.as_object_mut()?.insert("no-such-field".to_owned(), json!(1));
    Some(document)
}

/// Outputs are what their schema says whatever the upstream answers.
pub async fn every_output_is_what_its_schema_says(harness: &impl ConnectorHarness) {
    for what in [Told::Succeed, Told::Echo] {
        told(harness, what).await;
        let connector = connector(harness);
        for (sample, operation) in known(harness) {
            let schema = compiled(&operation.output_schema);
            // An echo may be no sound answer; then there is no output.
            if let Ok(output) = connector.call(&context("exe_1"), sample.operation, &sample.input).await {
                let problems: Vec<_> = schema.iter_errors(&output).map(|problem| problem.to_string()).collect();
                assert!(problems.is_empty(), "`{}` told {what:?} answers {output}: {problems:?}", sample.operation);
            }
        }
    }
}
