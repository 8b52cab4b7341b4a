//! Bundles, export and rollback.

use serde_json::{Value, json};

use crate::kit::{Install, Watcher, finish};

const BUNDLE: &str = "format: 1\nworkspace: shop-dev\nconfig:\n  settings:\n    colours: [red]\n";

#[test]
fn a_bundle_is_planned_applied_exported_and_applied_again_for_nothing() {
    let install = Install::new();
    let server = install.serve();
    let path = install.write("shop.yaml", BUNDLE);
    let plan = server.run(&["apply", "-f", &path, "--dry-run"]).well();
    assert!(plan.starts_with("shop-dev would be created\n") && plan.contains("\n  + /settings"), "{plan}");
    assert!(server.run(&["workspace", "get", "shop-dev"]).refused().contains("not_found"));
    let applied = server.json(&["apply", "--yes", "-f", &path]);
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

#[test]
fn without_a_terminal_nothing_is_changed_unless_it_is_said_beforehand() {
    let install = Install::new();
    let server = install.serve();
    let path = install.write("shop.yaml", BUNDLE);
    let line = server.run(&["apply", "-f", &path]).refused();
    assert!(line.contains("--yes"), "{line}");
    let plan = server.run(&["apply", "-f", &path, "--plan"]);
    assert_eq!(plan.status.code(), Some(2), "something would change");
    assert!(plan.out.starts_with("shop-dev would be created\n") && !plan.out.contains('\u{1b}'), "{}", plan.out);
    assert!(server.run(&["workspace", "get", "shop-dev"]).refused().contains("not_found"));
    let applied = server.run(&["apply", "-f", &path, "--yes"]).well();
    assert!(applied.starts_with("shop-dev is created\n"), "{applied}");
    assert_eq!(server.run(&["apply", "-f", &path, "--plan"]).status.code(), Some(0), "nothing would change");
    assert_eq!(server.run(&["apply", "-f", &path]).well(), "shop-dev is so already (config version 1)");
}

#[test]
fn a_folder_of_bundles_is_applied_whole_or_not_at_all() {
    let install = Install::new();
    let server = install.serve();
    for name in ["one", "two"] {
        install.write(&format!("all/{name}.yaml"), &BUNDLE.replace("shop-dev", &format!("{name}-dev")));
    }
    let folder = install.path("all").display().to_string();
    install.write("all/three.yaml", &BUNDLE.replace("shop-dev", "three-dev").replace("settings", "setings"));
    let line = server.run(&["apply", "--yes", "-f", &folder]).refused();
    assert!(line.contains("/config/setings"), "{line}");
    assert!(server.run(&["workspace", "get", "one-dev"]).refused().contains("not_found"), "not even the first");
    std::fs::remove_file(format!("{folder}/three.yaml")).unwrap();
    let applied = server.run(&["apply", "--yes", "-f", &folder]).well();
    assert!(applied.contains("one-dev is created\n") && applied.contains("two-dev is created\n"), "{applied}");
}

#[test]
fn a_bundle_of_one_workspace_makes_another() {
    let install = Install::new();
    let server = install.serve();
    let config = "  secret_refs:\n    t: {source: env, key: SHOP_DEV_T}\n";
    server.apply("shop-dev", config);
    let exported = server.run(&["export", "shop-dev", "--yaml"]).well();
    let path = install.write("shop-dev.yaml", &exported);
    let plan = server.run(&["apply", "-f", &path, "--as", "mall-dev", "--dry-run"]).well();
    assert!(plan.starts_with("mall-dev would be created\n"), "{plan}");
    assert!(plan.contains("  * /workspace \"shop-dev\" -> \"mall-dev\"\n"), "{plan}");
    assert!(plan.contains("  * /config/secret_refs/t/key \"SHOP_DEV_T\" -> \"MALL_DEV_T\"\n"), "{plan}");
    server.run(&["apply", "--yes", "-f", &path, "--as", "mall-dev"]).well();
    let copy: Value = serde_json::from_str(&server.run(&["export", "mall-dev"]).well()).unwrap();
    assert_eq!(
        (&copy["workspace"], &copy["config"]["secret_refs"]["t"]["key"]),
        (&json!("mall-dev"), &json!("MALL_DEV_T"))
    );
    let elsewhere = server.run(&["apply", "--yes", "-f", &path, "--as", "shop-prod"]).refused();
    assert!(elsewhere.contains("wrong_environment"), "{elsewhere}");
}

#[test]
fn watched_files_are_applied_as_they_change_and_what_was_changed_elsewhere_is_set_back() {
    let install = Install::new();
    let server = install.serve();
    let path = install.write("shop.yaml", BUNDLE);
    let mut watcher = Watcher::start(
        &server,
        &["apply", "-f", &path, "--watch", "--enforce", "--look-ms", "50", "--compare-s", "1", "--output", "json"],
    );
    let created = watcher.next();
    assert_eq!((&created["created"], &created["version"]), (&json!(true), &json!(1)));
    install.write("shop.yaml", "format: 1\nworkspace: shop-dev\nconfig: [");
    install.write("shop.yaml", &BUNDLE.replace("red", "blue"));
    let changed = watcher.next();
    assert_eq!((&changed["version"], &changed["changes"][0]["after"]), (&json!(2), &json!(["blue"])));
    server.run(&["rollback", "shop-dev", "--reason", "by hand"]).well();
    let back = watcher.next();
    assert_eq!((&back["changes"][0]["before"], &back["changes"][0]["after"]), (&json!(["red"]), &json!(["blue"])));
    assert_eq!(watcher.terminated(), Some(0));
}

#[test]
fn the_schema_of_bundles_is_printed_without_a_server() {
    let install = Install::new();
    let schema: Value = serde_json::from_str(&finish(install.command(&["schema", "bundle"])).well()).unwrap();
    assert_eq!((&schema["title"], &schema["properties"]["format"]["const"]), (&json!("Bundle"), &json!(1)));
}
