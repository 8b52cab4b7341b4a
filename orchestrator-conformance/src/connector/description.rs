//! A kind tells what it is: by schemas that are schemas, alike each time.

use std::collections::BTreeSet;

use jsonschema::validator_for;
use serde_json::Value;

use super::ConnectorHarness;
use super::fixture::{described, registry, samples};

/// The engine can take the kind in, and lists it under its name.
pub async fn a_kind_can_be_registered(harness: &impl ConnectorHarness) {
    let (registry, name) = registry(harness);
    let views = registry.views();
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].kind, name);
    assert!(!views[0].description.trim().is_empty(), "it says what it is for");
}

/// Asking twice gives the same name, slots and schemas.
pub async fn a_kind_describes_itself_alike_each_time(harness: &impl ConnectorHarness) {
    let kind = harness.kind();
    assert_eq!(format!("{:?}", kind.describe()), format!("{:?}", kind.describe()));
}

/// Every operation has a name of its own, says what it does, and has schemas of its input and output that compile.
pub async fn every_operation_has_schemas(harness: &impl ConnectorHarness) {
    let description = harness.kind().describe();
    let (mut names, mut slots) = (BTreeSet::new(), BTreeSet::new());
    let described = described(harness);
    for operation in &described {
        let name = &operation.name;
        assert!(!name.is_empty() && names.insert(name), "the operation `{name}` is listed once");
        assert!(!operation.description.trim().is_empty(), "`{name}` says what it does");
        for (which, schema) in [("input", &operation.input_schema), ("output", &operation.output_schema)] {
            if let Err(problem) = validator_for(schema) {
                panic!("the {which} schema of `{name}` does not compile: {problem}");
            }
        }
    }
    for slot in &description.secret_slots {
        assert!(slots.insert(slot), "the slot `{slot}` is listed once");
    }
    for slot in harness.filled_slots() {
        assert!(slots.iter().any(|known| known.as_str() == slot), "the slot `{slot}` is listed");
    }
    for sample in samples(harness) {
        let Some(known) = described.iter().find(|known| known.name == sample.operation) else { continue };
        let schema = validator_for(&known.input_schema).expect("it compiled above");
        assert!(schema.is_valid(&sample.input), "the schema of `{}` takes a good input", sample.operation);
    }
}

/// Settings have no field for a secret: those fill slots, so that no config holds one.
pub async fn no_schema_asks_for_a_secret(harness: &impl ConnectorHarness) {
    let schema = harness.kind().describe().settings_schema;
    let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for name in fields.keys() {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let secret = ["password", "passwd", "secret", "apikey", "privatekey", "token"];
        assert!(!secret.iter().any(|word| plain.ends_with(word)), "the setting `{name}` is one for a secret slot");
    }
}
