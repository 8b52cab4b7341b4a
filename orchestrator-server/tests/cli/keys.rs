//! The install's key, rotated beside a running server.

use std::fs;

use serde_json::{Value, json};

use crate::kit::{Install, Server, mode};

const KEK: &str = "orchestrator-data/kek";

fn onboard(server: &Server<'_>) {
    for workspace in ["mall-dev", "shop-dev"] {
        server.apply(workspace, "  policies: {default: {}}\n  secret_refs:\n    key: {source: stored, name: key}\n");
        server.fed(&["secret", "set", workspace, "key"], "value").well();
    }
}

fn opens(server: &Server<'_>) -> bool {
    ["mall-dev", "shop-dev"].iter().all(|workspace| {
        let listed = server.json(&["secret", "list", workspace]);
        listed["items"].as_array().unwrap().iter().all(|secret| secret["health"] == "ok")
    })
}

fn keys(server: &Server<'_>) -> Vec<(String, Value)> {
    let shown = server.json(&["secret", "keys"]);
    let keys = shown["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        (key["id"].as_str().unwrap().to_owned(), json!([key["state"], key["data_keys"], key["install_secrets"]]))
    })
    .collect()
}

fn lines(install: &Install) -> Vec<String> {
    fs::read_to_string(install.path(KEK)).unwrap().lines().map(str::to_owned).collect()
}

fn keep(install: &Install, lines: &[String]) {
    fs::write(install.path(KEK), lines.join("\n")).unwrap();
}

/// What a start says that is refused.
fn refusal(install: &Install) -> String {
    let done = install.run(&["serve"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    done.err.lines().last().unwrap().to_owned()
}

#[test]
fn inv_24_a_new_key_is_drawn_and_the_old_one_can_go_and_no_other() {
    let install = Install::new();
    let mut server = install.serve();
    onboard(&server);
    let (before, old) = (keys(&server), lines(&install));
    assert_eq!((before.len(), &before[0].1, old.len()), (1, &json!(["sealing", 2, 1]), 1));
    let rotated = server.json(&["secret", "rotate-kek", "--reason", "it is time"]);
    assert_eq!((&rotated["status"], &rotated["resealed"]), (&json!("done"), &json!(3)));
    let (after, both) = (keys(&server), lines(&install));
    assert_eq!((&after[0].1, &after[1]), (&json!(["sealing", 2, 1]), &(before[0].0.clone(), json!(["opening", 0, 0]))));
    assert_eq!((both.len(), &both[1], mode(&install.path(KEK))), (2, &old[0], 0o600));
    assert!(opens(&server));
    let audit = server.json(&["audit", "list"]);
    let action = json!("secret.rotate_kek");
    assert!(audit["items"].as_array().unwrap().iter().any(|record| record["action"] == action));
    assert!(install.run(&["doctor"]).out.contains(&format!("the key {} seals nothing any more", before[0].0)));
    server.terminate();
    assert!(server.ended().success());

    // The one that is needed cannot go.
    keep(&install, &old);
    let told = refusal(&install);
    assert!(told.contains(&after[0].0) && told.contains("mall-dev, shop-dev"), "{told}");
    let findings = install.run(&["doctor", "--output", "json"]);
    assert_eq!(findings.status.code(), Some(1));
    assert!(findings.out.contains(&format!("the key {} is in no key file", after[0].0)), "{}", findings.out);
    // The one that is not needed can.
    keep(&install, &both[..1]);
    let server = install.serve();
    assert!(opens(&server));
    assert_eq!(keys(&server).len(), 1);
}

#[test]
fn a_key_that_was_brought_into_the_file_is_rotated_to() {
    let install = Install::new();
    let server = install.serve();
    onboard(&server);
    let new = install.run(&["secret", "new-kek"]).well();
    let old = lines(&install);
    keep(&install, &["# the next one".to_owned(), new, old[0].clone()]);
    let rotated = server.json(&["secret", "rotate-kek", "--from-file", "--reason", "brought by hand"]);
    assert_eq!((&rotated["status"], &rotated["resealed"]), (&json!("done"), &json!(3)));
    assert!(opens(&server));
    let shown = server.run(&["secret", "keys"]).well();
    assert!(shown.lines().count() == 3 && shown.contains("sealing") && shown.contains("opening"), "{shown}");
    // A file that holds no key rotates nothing and breaks nothing.
    fs::write(install.path(KEK), "nonsense").unwrap();
    let refused = server.run(&["secret", "rotate-kek", "--reason", "nothing to go by"]).refused();
    assert!(refused.contains("key_unavailable") && !refused.contains("nonsense"), "{refused}");
    assert!(opens(&server));
}

#[test]
fn the_versions_of_a_secret_are_shown_with_their_times() {
    let install = Install::new();
    let server = install.serve();
    onboard(&server);
    server.fed(&["secret", "rotate", "shop-dev", "key", "--overlap", "3600"], "next").well();
    let shown = server.json(&["secret", "versions", "shop-dev", "key"]);
    let states: Vec<_> =
        shown["versions"].as_array().unwrap().iter().map(|one| (&one["version"], &one["state"])).collect();
    assert_eq!(states, [(&json!(2), &json!("active")), (&json!(1), &json!("retiring"))]);
    assert!(shown["versions"][1]["until"].is_string());
    assert!(server.run(&["secret", "versions", "shop-dev", "key"]).well().contains("retiring"));
    server.run(&["secret", "versions", "shop-dev", "none"]).refused();
    let long = server.fed(&["secret", "rotate", "shop-dev", "key", "--overlap", "99999999"], "next").refused();
    assert!(long.contains("/overlap_s"), "{long}");
}
