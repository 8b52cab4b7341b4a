//! The doctor.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::kit::{Install, Server, finish};

fn result<'a>(findings: &'a Value, check: &str) -> &'a str {
    let finding = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    finding.unwrap_or_else(|| panic!("{check} is not in {findings}"))["result"].as_str().unwrap()
}

fn beside(server: &Server<'_>, more: &[&str]) -> crate::kit::Done {
    let bare = |url: &str| url.trim_start_matches("http://").to_owned();
    let (api, ops) = (bare(&server.url), bare(&server.ops));
    let arguments = ["doctor", "--listen-api", &api, "--listen-ops", &ops, "--output", "json"];
    server.install.run(&[&arguments[..], more].concat())
}

#[test]
fn a_folder_without_an_install_is_told_as_one_that_a_start_will_make() {
    let install = Install::new();
    let findings = install.run(&["doctor", "--output", "json"]).json();
    assert_eq!((result(&findings, "store"), result(&findings, "key file")), ("warn", "warn"));
    assert!(!install.path("orchestrator-data").exists(), "the doctor made something");
}

#[test]
fn beside_a_running_server_all_is_well_but_the_place_of_the_key() {
    let install = Install::new();
    let server = install.serve();
    server.run(&["workspace", "create", "shop-dev"]).well();
    server.fed(&["secret", "set", "shop-dev", "a"], "b").well();
    let findings = beside(&server, &[]).json();
    for finding in findings.as_array().unwrap() {
        let wanted = if finding["check"] == "key place" { "warn" } else { "ok" };
        assert_eq!(finding["result"], wanted, "{finding}");
    }
    assert!(findings.to_string().contains("the data keys of 1 workspaces open"), "{findings}");
    assert!(install.run(&["doctor"]).well().starts_with("CHECK"));
}

#[test]
fn what_a_start_would_stumble_over_fails() {
    let install = Install::new();
    let server = install.serve();
    server.run(&["workspace", "create", "shop-dev"]).well();
    server.fed(&["secret", "set", "shop-dev", "a"], "b").well();
    let failed = |done: crate::kit::Done| -> Value {
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        serde_json::from_str(&done.out).unwrap()
    };
    assert_eq!(result(&failed(beside(&server, &["--environment", "prod"])), "environment"), "fail");
    let taken = crate::kit::Upstream::start();
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [taken.url.trim_start_matches("http://").to_owned(), hung.local_addr().unwrap().to_string()] {
        let findings = failed(beside(&server, &["--listen-control", &address]));
        assert_eq!(result(&findings, "listen.control"), "fail");
    }
    let key = install.path("orchestrator-data/kek");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(result(&failed(beside(&server, &[])), "key file"), "fail");
    std::fs::remove_file(&key).unwrap();
    assert_eq!(result(&failed(beside(&server, &[])), "key file"), "fail");
    let other = Install::new();
    drop(other.serve());
    std::fs::copy(other.path("orchestrator-data/kek"), &key).unwrap();
    assert_eq!(result(&failed(beside(&server, &[])), "sealed keys"), "fail");
    let mut unknown = install.command(&["doctor", "--output", "json"]);
    unknown.env("ORCHESTRATOR__COLOUR", "red");
    assert_eq!(result(&failed(finish(unknown)), "settings"), "fail");
}
