//! The control API.

use serde_json::{Value, json};

use crate::install::{self, WORKSPACE};

#[tokio::test]
async fn a_workspace_is_made_once_and_of_this_environment() {
    let install = install::start().await;
    let admin = install.admin();
    for (body, status, code) in [
        (json!({"name": "beauty-dev"}), 201, None),
        (json!({"name": "beauty-dev"}), 409, Some("already_exists")),
        (json!({"name": "beauty-prod"}), 422, Some("wrong_environment")),
        (json!({"name": "Beauty"}), 400, Some("invalid_request")),
        (json!({"name": "a-dev", "template": "none"}), 400, Some("invalid_request")),
        (json!({"name": "a-dev", "owner": "me"}), 400, Some("invalid_request")),
        (json!({}), 400, Some("invalid_request")),
    ] {
        let answer = install.send("POST", "/workspaces", &admin, Some(body.clone())).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, code), "{body}");
    }
    let created = install.get("/workspaces/beauty-dev", &admin).await.json();
    assert_eq!((&created["config_version"], &created["status"]), (&json!(1), &json!("active")));
}

#[tokio::test]
async fn inv_30_of_two_who_change_a_config_one_is_told_that_it_is_stale() {
    let install = install::start_onboarded().await;
    let (admin, base) = (install.admin(), format!("/workspaces/{WORKSPACE}"));
    let read = install.get(&format!("{base}/config"), &admin).await;
    let (tag, mut config) = (read.header("etag").unwrap().to_owned(), read.json()["config"].clone());
    config["settings"] = json!({"a": 1});
    let change = |config: &Value| Some(json!({"config": config, "message": "a change"}));
    let if_match = format!("If-Match: {tag}\r\n");
    let path = format!("{base}/configs");
    let won = install.send_with("POST", &path, &admin, &if_match, change(&config)).await;
    assert_eq!((won.status, won.json()["active"].clone()), (201, json!(true)));
    assert_ne!(won.header("etag"), Some(tag.as_str()));
    config["settings"] = json!({"a": 2});
    let lost = install.send_with("POST", &path, &admin, &if_match, change(&config)).await;
    assert_eq!((lost.status, lost.json()["code"].as_str()), (412, Some("precondition_failed")));
    // The same content makes no version.
    config["settings"] = json!({"a": 1});
    let same = install.send("POST", &path, &admin, change(&config)).await;
    assert_eq!((same.status, &same.json()["version"]), (200, &won.json()["version"]));

    let known = format!("If-None-Match: {}\r\n", won.header("etag").unwrap());
    assert_eq!(install.send_with("GET", &format!("{base}/config"), &admin, &known, None).await.status, 304);
    let back = install.send("POST", &format!("{base}/rollback"), &admin, Some(json!({"reason": "back"}))).await;
    assert_eq!((back.status, &back.json()["version"]), (200, &json!(2)));
    let diff = install.get(&format!("{base}/configs/2/diff/3"), &admin).await.json();
    assert_eq!(diff["changes"][0]["pointer"], "/settings/a", "{diff}");
    let pointer = json!({"version": 3, "reason": "forward"});
    assert_eq!(install.send("PUT", &format!("{base}/config-pointer"), &admin, Some(pointer)).await.status, 200);
    let pointer = json!({"version": 99, "reason": "forward"});
    assert_eq!(install.send("PUT", &format!("{base}/config-pointer"), &admin, Some(pointer)).await.status, 404);
    let listed = install.get(&format!("{base}/configs?limit=2"), &admin).await.json();
    assert_eq!((listed["items"].as_array().unwrap().len(), listed["next_cursor"].is_string()), (2, true));
}

#[tokio::test]
async fn a_config_that_names_what_is_not_there_is_refused_with_pointers() {
    let install = install::start_onboarded().await;
    let path = format!("/workspaces/{WORKSPACE}/connectors/x");
    let connector = json!({"kind": "fake", "policy": "none"});
    let refused = install.send("PUT", &path, &install.admin(), Some(connector)).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (422, Some("invalid_config")));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/connectors/x/policy");
    let unknown = install.send("PUT", &path, &install.admin(), Some(json!({"kind": "fake", "polcy": "x"}))).await;
    assert_eq!(unknown.status, 400, "{}", unknown.json());
    let gone = install.send("DELETE", &path, &install.admin(), None).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_bundle_goes_round() {
    let install = install::start_onboarded().await;
    let (admin, path) = (install.admin(), format!("/workspaces/{WORKSPACE}/bundle"));
    let bundle = install.get(&path, &admin).await.json();
    let same = install.send("PUT", &path, &admin, Some(bundle.clone())).await;
    assert_eq!((same.status, same.json()["changes"].clone()), (200, json!([])));
    let mut other = bundle;
    other["workspace"] = "copy-dev".into();
    let plan = install.send("PUT", "/workspaces/copy-dev/bundle?dry_run=true", &admin, Some(other.clone())).await;
    assert_eq!((plan.status, plan.json()["created"].clone()), (200, json!(true)));
    assert_eq!(install.get("/workspaces/copy-dev", &admin).await.status, 404);
    assert_eq!(install.send("PUT", "/workspaces/copy-dev/bundle", &admin, Some(other.clone())).await.status, 200);
    assert_eq!(install.get("/workspaces/copy-dev", &admin).await.status, 200);
    assert_eq!(install.send("PUT", &path, &admin, Some(other)).await.status, 400);
    assert_eq!(install.send("PUT", &format!("{path}?dryrun=1"), &admin, None).await.status, 400);
}

#[tokio::test]
async fn a_secret_is_written_and_never_read() {
    let install = install::start_onboarded().await;
    let (admin, base) = (install.admin(), format!("/workspaces/{WORKSPACE}/secrets"));
    let canary = "canary-5f1c";
    let value = || Some(json!({"value": canary}));
    assert_eq!(install.send("POST", &format!("{base}/a/rotate"), &admin, value()).await.status, 404);
    let written = install.send("PUT", &format!("{base}/a"), &admin, value()).await;
    assert_eq!((written.status, &written.json()["version"]), (200, &json!(1)));
    let rotated = install.send("POST", &format!("{base}/a/rotate"), &admin, value()).await;
    assert_eq!(rotated.json()["active_versions"].as_array().unwrap().len(), 2);
    let listed = install.get(&base, &admin).await;
    assert_eq!(listed.json()["items"][0]["health"], "ok");
    let audit = install.get(&format!("/workspaces/{WORKSPACE}/audit"), &admin).await;
    for answer in [written, rotated, listed, audit] {
        assert!(!String::from_utf8_lossy(&answer.body).contains(canary));
    }
}

#[tokio::test]
async fn operators_keep_an_admin_and_changes_are_in_the_trail() {
    let install = install::start_onboarded().await;
    let (admin, base) = (install.admin(), format!("/workspaces/{WORKSPACE}/operators"));
    let role = |role: &str| Some(json!({"role": role}));
    assert_eq!(install.send("PUT", &format!("{base}/ada"), &admin, role("Admin")).await.status, 200);
    assert_eq!(install.send("PUT", &format!("{base}/eve"), &admin, role("Owner")).await.status, 400);
    let ada = install.operator("ada");
    let refused = install.send("PUT", &format!("{base}/ada"), &ada, role("ReadOnly")).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("last_admin")));
    assert_eq!(install.send("PUT", &format!("{base}/bob"), &ada, role("Admin")).await.status, 200);
    assert_eq!(install.send("DELETE", &format!("{base}/ada"), &ada, None).await.status, 204);
    // A role that was taken is gone at once.
    assert_eq!(install.get(&base, &ada).await.status, 404);

    let trail = install.get(&format!("/workspaces/{WORKSPACE}/audit?limit=500"), &admin).await.json();
    let last = trail["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["action"], &last["actor"], &last["target"]),
        (&json!("operator.remove"), &json!("ada"), &json!("ada"))
    );
    let verified = install.get(&format!("/workspaces/{WORKSPACE}/audit/verify"), &admin).await.json();
    assert_eq!(verified["intact"], true);
    assert_eq!(install.get("/audit/verify", &admin).await.json()["intact"], true);
}

#[tokio::test]
async fn a_dead_letter_is_replayed_with_a_reason_and_not_without() {
    let install = install::start_onboarded().await;
    let (admin, token, base) = (install.admin(), install.service(WORKSPACE), format!("/workspaces/{WORKSPACE}/dlq"));
    let call = json!({"connector": "fake", "operation": "reject", "input": {}, "max_attempts": 1});
    let id = install.send("POST", "/jobs", &token, Some(call)).await.json()["id"].clone();
    let path = format!("/jobs/{}?wait_ms=30000", id.as_str().unwrap());
    assert_eq!(install.get(&path, &token).await.json()["status"], "dead");
    assert_eq!(install.get(&base, &admin).await.json()["items"][0]["id"], id);
    let without = install.send("POST", &format!("{base}/replay"), &admin, Some(json!({"ids": [id]}))).await;
    assert_eq!((without.status, without.json()["errors"][0]["pointer"].as_str()), (400, Some("/reason")));
    let request = json!({"ids": [id], "reason": "fixed"});
    let moved = install.send("POST", &format!("{base}/replay"), &admin, Some(request)).await;
    assert_eq!((moved.status, &moved.json()["count"]), (200, &json!(1)));
    assert_eq!(install.get(&path, &token).await.json()["status"], "dead");
    let request = json!({"filter": {"connector": "fake"}, "reason": "of no use"});
    let purged = install.send("POST", &format!("{base}/purge"), &admin, Some(request)).await;
    assert_eq!((purged.status, &purged.json()["count"]), (200, &json!(1)));
    let requests = install.get(&format!("/workspaces/{WORKSPACE}/requests"), &admin).await.json();
    assert!(!requests["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn connector_kinds_describe_themselves() {
    let install = install::start().await;
    let kinds = install.get("/connector-kinds", &install.admin()).await.json();
    assert_eq!((&kinds["items"][0]["kind"], &kinds["next_cursor"]), (&json!("fake"), &Value::Null));
    assert_eq!(kinds["items"][0]["operations"].as_array().unwrap().len(), 4);
    assert_eq!(kinds["items"][0]["operations"][0]["idempotency"], "depends");
}

#[tokio::test]
async fn a_connector_is_checked() {
    let install = install::start_onboarded().await;
    let path = |name: &str| format!("/workspaces/{WORKSPACE}/connectors/{name}/check");
    let told = install.send("POST", &path("fake"), &install.admin(), None).await;
    let check = told.json();
    assert_eq!((told.status, &check["connector"], &check["kind"]), (200, &json!("fake"), &json!("fake")), "{check}");
    assert_eq!((&check["health"], check.get("error")), (&json!("ok"), None));
    assert_eq!(check["trace_id"].as_str(), told.header("trace-id"));
    let operations = install.get(&path("fake").replace("/check", "/operations"), &install.admin()).await.json();
    assert_eq!(operations["items"].as_array().unwrap().len(), 4);
    assert_eq!((&operations["items"][0]["name"], &operations["next_cursor"]), (&json!("echo"), &Value::Null));
    let none = install.send("POST", &path("none"), &install.admin(), None).await;
    assert_eq!((none.status, none.json()["code"].as_str()), (404, Some("connector_not_found")));
}
