//! Bundles, export and rollback.

use serde_json::{Value, json};

use crate::kit::Install;

const BUNDLE: &str = "format: 1\nworkspace: shop-dev\nconfig:\n  settings:\n    colours: [red]\n";

#[test]
fn a_bundle_is_planned_applied_exported_and_applied_again_for_nothing() {
    let install = Install::new();
    let server = install.serve();
    let path = install.write("shop.yaml", BUNDLE);
    let plan = server.run(&["apply", "-f", &path, "--dry-run"]).well();
    assert!(plan.starts_with("shop-dev would be created\n") && plan.contains("\n  + /settings"), "{plan}");
    assert!(server.run(&["workspace", "get", "shop-dev"]).refused().contains("not_found"));
    let applied = server.json(&["apply", "-f", &path]);
    assert_eq!((&applied["created"], &applied["version"]), (&json!(true), &json!(1)));
    assert_eq!(server.run(&["apply", "-f", &path]).well(), "shop-dev is so already (config version 1)");

    let exported = server.run(&["export", "shop-dev"]).well();
    let document: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(document["config"]["settings"], json!({"colours": ["red"]}));
    let yaml = server.run(&["export", "shop-dev", "--yaml"]).well();
    for (name, text) in [("again.json", &exported), ("again.yaml", &yaml)] {
        let path = install.write(name, text);
        assert_eq!(server.json(&["apply", "-f", &path])["changes"], json!([]), "{name}");
    }
    let applied = server.fed(&["apply", "-f", "-", "--output", "json"], &exported).json();
    assert_eq!(applied["version"], 1);
}

#[test]
fn a_rollback_makes_the_version_before_active() {
    let install = Install::new();
    let server = install.serve();
    server.apply("shop-dev", "  settings:\n    colours: [red]\n");
    assert_eq!(server.apply("shop-dev", "  settings:\n    colours: [blue]\n")["version"], 2);
    let line = server.run(&["rollback", "shop-dev", "--reason", "blue does not sell"]).well();
    assert_eq!(line, "shop-dev: config version 1 is active");
    let exported: Value = serde_json::from_str(&server.run(&["export", "shop-dev"]).well()).unwrap();
    assert_eq!(exported["config"]["settings"], json!({"colours": ["red"]}));
    assert_eq!(server.run(&["rollback", "shop-dev"]).status.code(), Some(2), "without a reason");
}

#[test]
fn a_bundle_that_cannot_work_is_refused_with_each_pointer() {
    let install = Install::new();
    let server = install.serve();
    let text = format!("{BUNDLE}  connectors:\n    a: {{kind: nonsense}}\n    b: {{kind: http, policy: none}}\n");
    let path = install.write("shop.yaml", &text);
    let line = server.run(&["apply", "-f", &path]).refused();
    assert!(line.starts_with("error: invalid_config: "), "{line}");
    assert!(line.contains("/config/connectors/a/kind: ") && line.contains("/config/connectors/b/policy: "), "{line}");
    let typo = install.write("typo.yaml", &BUNDLE.replace("settings", "setings"));
    assert!(server.run(&["apply", "-f", &typo]).refused().contains("setings"));
}
