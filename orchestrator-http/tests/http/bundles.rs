//! Bundles over HTTP: both syntaxes, every problem with its pointer, and only on what was planned.

use serde_json::{Value, json};

use crate::install::{self, Install, WORKSPACE};
use crate::kit::{Answer, Raw};

fn path(query: &str) -> String {
    format!("/workspaces/{WORKSPACE}/bundle{query}")
}

/// Sends a text as it is.
async fn put(install: &Install, path: &str, headers: &str, text: &str) -> Answer {
    let mut raw = Raw::connect(install.api).await;
    let (token, length) = (install.admin(), text.len());
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}");
    raw.send(format!("{head}Content-Length: {length}\r\n\r\n{text}")).await;
    raw.answer().await.unwrap()
}

const YAML: &str = "Content-Type: application/yaml\r\n";

#[tokio::test]
async fn a_bundle_goes_round_in_yaml() {
    let install = install::start_onboarded().await;
    let admin = install.admin();
    let exported = install.send_with("GET", &path(""), &admin, "Accept: application/yaml\r\n", None).await;
    assert_eq!((exported.status, exported.header("content-type")), (200, Some("application/yaml")));
    assert_eq!(exported.header("vary"), Some("accept"));
    let text = String::from_utf8(exported.body.clone()).unwrap();
    assert!(text.starts_with("format: 1\nworkspace: "), "{text}");
    let same = put(&install, &path(""), YAML, &text).await;
    assert_eq!((same.status, same.json()["changes"].clone()), (200, json!([])), "{}", same.json());
    let again = install.send_with("GET", &path(""), &admin, "Accept: application/yaml\r\n", None).await;
    assert_eq!(again.body, exported.body, "byte for byte");
    let first = install.get(&path(""), &admin).await;
    assert_eq!(first.header("content-type"), Some("application/json"));
    for (headers, status) in [
        ("Content-Type: text/yaml; charset=utf-8\r\n", 200),
        ("Content-Type: application/yaml; charset=latin1\r\n", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("", 415),
        ("Content-Type: application/yaml\r\nContent-Type: application/json\r\n", 415),
    ] {
        assert_eq!(put(&install, &path("?dry_run=true"), headers, &text).await.status, status, "{headers}");
    }
}

#[tokio::test]
async fn every_mistake_of_a_bundle_is_pointed_at() {
    let install = install::start_onboarded().await;
    let text = format!(
        "format: 1\nworkspace: {WORKSPACE}\nconfig:\n  conectors: {{}}\n  retention: {{inbox_days: soon}}\n  \
         callbacks: {{a: {{url: 'https://a.example'}}}}\n"
    );
    let refused = put(&install, &path(""), YAML, &text).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_request")));
    let mut found: Vec<_> =
        refused.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    found.sort_by_key(Value::to_string);
    assert_eq!(found, ["/config/callbacks/a/signing_secret", "/config/conectors", "/config/retention/inbox_days"]);
    for (text, told) in [
        ("format: 1\nconfig: {\n", "line"),
        ("format: 1\nformat: 1\n", "twice"),
        ("format: 2\nworkspace: a-dev\nconfig: {}\n", "update it"),
        ("a: &a [*a]", "recursive"),
    ] {
        let refused = put(&install, &path(""), YAML, text).await;
        assert_eq!(refused.status, 400, "{text}");
        let errors = refused.json()["errors"].to_string();
        assert!(errors.contains(told) || told == "recursive", "{text}: {errors}");
    }
}

#[tokio::test]
async fn inv_30_an_import_on_a_plan_that_was_overtaken_gets_412() {
    let install = install::start_onboarded().await;
    let admin = install.admin();
    let exported = install.get(&path(""), &admin).await;
    let tag = exported.header("etag").unwrap().to_owned();
    let mut bundle = exported.json();
    bundle["config"]["settings"] = json!({"a": 1});
    let plan = install.send("PUT", &path("?dry_run=true"), &admin, Some(bundle.clone())).await;
    assert_eq!((plan.status, plan.header("etag")), (200, Some(tag.as_str())));
    let on = format!("If-Match: {tag}\r\n");
    let applied = install.send_with("PUT", &path(""), &admin, &on, Some(bundle.clone())).await;
    assert_eq!(applied.status, 200, "{}", applied.json());
    assert_ne!(applied.header("etag"), Some(tag.as_str()));
    bundle["config"]["settings"] = json!({"a": 2});
    let late = install.send_with("PUT", &path(""), &admin, &on, Some(bundle)).await;
    assert_eq!((late.status, &late.json()["code"]), (412, &json!("precondition_failed")));
}

#[tokio::test]
async fn a_bundle_of_another_workspace_is_taken_only_when_it_is_to_be_renamed() {
    let install = install::start_onboarded().await;
    let admin = install.admin();
    let bundle = install.get(&path(""), &admin).await.json();
    assert_eq!(install.send("PUT", "/workspaces/copy-dev/bundle", &admin, Some(bundle.clone())).await.status, 400);
    let renamed = install.send("PUT", "/workspaces/copy-dev/bundle?rename=true", &admin, Some(bundle)).await;
    assert_eq!(
        (renamed.status, &renamed.json()["renamed"][0]["after"]),
        (200, &json!("copy-dev")),
        "{}",
        renamed.json()
    );
    assert_eq!(install.get("/workspaces/copy-dev", &admin).await.status, 200);
}

#[tokio::test]
async fn the_schema_of_bundles_is_there_for_everybody() {
    let install = install::start_onboarded().await;
    let schema = install.get("/schemas/bundle.json", "").await;
    assert_eq!((schema.status, schema.header("content-type")), (200, Some("application/schema+json")));
    assert_eq!(schema.json()["properties"]["format"]["const"], 1);
}
