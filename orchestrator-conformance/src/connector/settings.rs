//! Settings are checked before a config with them becomes a version, with all that is wrong and where.

use orchestrator_core::connector::SecretSlots;
use serde_json::{Value, json};

use super::ConnectorHarness;
use super::fixture::{Canary, connector_with, mutations, odd_values, pointers, registry, slots};

/// Good settings build a connector, also before any secret is there: configs are checked without secrets.
pub async fn good_settings_are_taken(harness: &impl ConnectorHarness) {
    connector_with(harness, SecretSlots::default());
    connector_with(harness, slots(harness, &Canary::default()));
}

/// A field that nobody knows is a mistake, and most likely a misspelt one.
pub async fn an_unknown_setting_is_refused(harness: &impl ConnectorHarness) {
    let (registry, kind) = registry(harness);
    let mut settings = harness.settings();
    let Value::Object(fields) = &mut settings else { panic!("settings are an object") };
    fields.insert("no-such-setting".to_owned(), json!(1));
    let problems = registry.check(&kind, &settings, SecretSlots::default()).expect("the kind is registered");
    assert!(!problems.is_empty(), "an unknown setting is refused");
}

/// What the kind must refuse is refused, and the refusal says where.
pub async fn bad_settings_are_refused_with_pointers(harness: &impl ConnectorHarness) {
    let (registry, kind) = registry(harness);
    for (settings, pointer) in harness.refused_settings() {
        let problems = registry.check(&kind, &settings, SecretSlots::default()).expect("the kind is registered");
        assert!(pointers(&problems).contains(&pointer), "{settings} is refused at `{pointer}`, not by {problems:?}");
        assert!(problems.iter().all(|problem| !problem.detail.is_empty()), "each problem says what to change");
    }
}

/// Settings come from operators: whatever they hold is refused or taken, also where no schema was asked before.
pub async fn inv_29_settings_of_any_shape_do_not_panic(harness: &impl ConnectorHarness) {
    let kind = harness.kind();
    for settings in odd_values().into_iter().chain(mutations(&harness.settings())) {
        if let Err(problems) = kind.build(&settings, SecretSlots::default()) {
            assert!(!problems.is_empty(), "a refusal says why: {settings}");
        }
    }
    assert!(kind.build(&json!([]), SecretSlots::default()).is_err(), "a list is no settings");
}
