//! Identities, operators and the audit trail.

use serde_json::json;

use crate::kit::{Install, finish};

#[test]
fn an_identity_is_made_listed_and_deleted_and_its_secret_is_shown_once() {
    let install = Install::new();
    let server = install.serve();
    server.run(&["workspace", "create", "shop-dev"]).well();
    let scopes = ["--scope", "orchestrator.execute orchestrator.jobs.read"];
    let made = server.json(&[&["identity", "create", "shop-dev", "svc:billing"][..], &scopes].concat());
    assert!(made["client_secret"].as_str().is_some_and(|secret| secret.len() > 20));
    let listed = server.json(&["identity", "list", "shop-dev"]);
    assert_eq!(listed["items"][0]["scopes"], json!(["orchestrator.execute", "orchestrator.jobs.read"]));
    assert!(listed["items"][0].get("client_secret").is_none());
    assert_eq!(server.run(&["identity", "delete", "shop-dev", "svc:billing"]).well(), "svc:billing is deleted");
    assert_eq!(server.json(&["identity", "list", "shop-dev"])["items"], json!([]));
}

#[test]
fn an_operator_may_do_what_their_role_says_and_the_trail_tells_it() {
    let install = Install::new();
    let server = install.serve();
    server.run(&["workspace", "create", "shop-dev"]).well();
    let token = install.mint(&["--aud", "orchestrator-control", "--sub", "ann", "--scope", "orchestrator.operator"]);
    let as_ann = |arguments: &[&str]| {
        let mut command = server.command(arguments);
        command.env("ORCHESTRATOR_TOKEN", &token);
        finish(command)
    };
    as_ann(&["dlq", "list", "shop-dev"]).refused();
    assert_eq!(server.run(&["operator", "set", "shop-dev", "ann", "ReadOnly"]).well(), "ann is ReadOnly of shop-dev");
    as_ann(&["dlq", "list", "shop-dev"]).well();
    let line = as_ann(&["workspace", "suspend", "shop-dev", "--reason", "because"]).refused();
    assert!(line.starts_with("error: forbidden: "), "{line}");
    assert_eq!(server.json(&["operator", "list", "shop-dev"])["items"][0]["role"], "ReadOnly");
    server.run(&["operator", "remove", "shop-dev", "ann"]).well();
    as_ann(&["dlq", "list", "shop-dev"]).refused();
    assert_eq!(server.run(&["operator", "set", "shop-dev", "ann", "King"]).status.code(), Some(2));

    let trail = server.json(&["audit", "list", "shop-dev"]);
    let records = trail["items"].as_array().unwrap();
    assert!(records.iter().any(|record| record["actor"] == "tester" && record["target"].to_string().contains("ann")));
    assert!(server.run(&["audit", "verify", "shop-dev"]).well().starts_with("whole: "));
    assert_eq!(server.json(&["audit", "verify"])["intact"], true);
}
