//! Workspaces and secrets.

use serde_json::json;

use crate::kit::Install;

#[test]
fn a_workspace_is_made_suspended_resumed_and_deleted() {
    let install = Install::new();
    let server = install.serve();
    let made = server.json(&["workspace", "create", "shop-dev"]);
    assert_eq!(
        (&made["name"], &made["status"], &made["config_version"]),
        (&json!("shop-dev"), &json!("active"), &json!(1))
    );
    server.run(&["workspace", "create", "another-dev"]).well();
    let listed = server.json(&["workspace", "list", "--limit", "1"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let cursor = listed["next_cursor"].as_str().unwrap().to_owned();
    let rest = server.json(&["workspace", "list", "--cursor", &cursor]);
    assert_eq!((&rest["items"][0]["name"], &rest["next_cursor"]), (&json!("shop-dev"), &json!(null)));
    let table = server.run(&["workspace", "list"]).well();
    assert!(table.starts_with("NAME") && table.contains("\nshop-dev "), "{table}");
    let status = |arguments: &[&str]| server.json(arguments)["status"].clone();
    assert_eq!(status(&["workspace", "suspend", "shop-dev", "--reason", "unpaid"]), "suspended");
    assert_eq!(status(&["workspace", "get", "shop-dev"]), "suspended");
    assert_eq!(status(&["workspace", "resume", "shop-dev", "--reason", "paid"]), "active");
    assert_eq!(status(&["workspace", "delete", "shop-dev", "--reason", "closed"]), "deleted");
    assert!(server.run(&["workspace", "get", "shop-dev"]).refused().starts_with("error: "));
}

#[test]
fn a_refusal_is_one_line_with_its_code_in_text_and_a_problem_in_json() {
    let install = Install::new();
    let server = install.serve();
    let line = server.run(&["workspace", "create", "shop-prod"]).refused();
    assert!(line.starts_with("error: wrong_environment: "), "{line}");
    let line = server.run(&["workspace", "create", "shop-prod", "--output", "json"]).refused();
    let problem: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("wrong_environment"), &json!(422)));
    assert!(problem["trace_id"].is_string());
    let line = server.run(&["workspace", "suspend", "shop-dev", "--reason", "x"]).refused();
    assert!(line.starts_with("error: "), "{line}");
    let mut nobody = server.command(&["workspace", "list"]);
    nobody.env("ORCHESTRATOR_TOKEN", "x.y.z");
    assert!(crate::kit::finish(nobody).refused().starts_with("error: unauthenticated: "));
}

#[test]
fn a_secret_comes_from_standard_input_a_variable_or_a_file() {
    let install = Install::new();
    let server = install.serve();
    server.apply("shop-dev", "  secret_refs:\n    key: {source: stored, name: api-key}\n");
    let health = || server.json(&["secret", "list", "shop-dev"])["items"][0]["health"].clone();
    assert_eq!(health(), "missing");
    let set = ["secret", "set", "shop-dev", "api-key"];
    let shown = server.fed(&set, "c4n4ry-one\n").well();
    assert!(shown.contains("version") && !shown.contains("c4n4ry"), "{shown}");
    assert_eq!(health(), "ok");
    let mut rotate =
        server.command(&["secret", "rotate", "shop-dev", "api-key", "--from-env", "NEW", "--output", "json"]);
    rotate.env("NEW", "c4n4ry-two");
    let rotated = crate::kit::finish(rotate).json();
    assert_eq!((&rotated["version"], &rotated["active_versions"]), (&json!(2), &json!([2, 1])));
    let file = install.write("value", "c4n4ry-three\n");
    assert_eq!(server.json(&["secret", "set", "shop-dev", "api-key", "--from-file", &file])["version"], 3);
    assert!(server.fed(&set, "\n").refused().contains("it is empty"));
    assert_eq!(server.run(&["secret", "set", "shop-dev", "api-key", "--value", "x"]).status.code(), Some(2));
}
