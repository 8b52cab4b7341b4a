//! Jobs, events, executions and dead letters.

use serde_json::{Value, json};

use crate::kit::{Install, Server, Upstream, finish};

const WORKSPACE: &str = "shop-dev";
const INPUT: &str = "{\"method\":\"POST\",\"path\":\"/refunds\",\"json\":{\"amount\":5}}";

fn product(server: &Server<'_>, arguments: &[&str]) -> crate::kit::Done {
    finish(server.product(WORKSPACE, arguments))
}

fn onboard(server: &Server<'_>, upstream: &Upstream) {
    let connectors = format!(
        "  policies: {{default: {{}}}}\n  connectors:\n    up: {{kind: http, settings: {{base_url: '{}'}}}}\n",
        upstream.url
    );
    server.apply(WORKSPACE, &connectors);
}

#[test]
fn a_connector_is_checked_and_kinds_are_listed() {
    let (install, upstream) = (Install::new(), Upstream::start());
    let server = install.serve();
    let config = format!(
        "  policies: {{default: {{}}}}\n  connectors:\n    up: {{kind: http, settings: {{base_url: '{url}', health_path: /healthz, operations: {{refund: {{method: POST, path: '/r/{{id}}', idempotent: true}}}}}}}}\n    blind: {{kind: http, settings: {{base_url: '{url}'}}}}\n",
        url = upstream.url
    );
    server.apply(WORKSPACE, &config);
    let check = |status: u16| {
        let command = server.command(&["connector", "check", WORKSPACE, "up", "--output", "json"]);
        let running = std::thread::spawn(move || finish(command));
        let asked = upstream.next();
        assert!(asked.head.starts_with("GET /healthz "), "{}", asked.head);
        asked.answer(status, "{}");
        running.join().unwrap()
    };
    assert_eq!(check(200).json()["health"], "ok");
    let failed = check(503);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let told: Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!((&told["health"], &told["error"]["code"]), (&json!("failed"), &json!("upstream_failed")));
    assert!(server.run(&["connector", "check", WORKSPACE, "blind"]).well().contains("not_supported"));
    let kinds = server.run(&["connector", "kinds"]).well();
    assert!(kinds.contains("\nhttp ") && kinds.contains("\nstripe "), "{kinds}");
    let operations = server.json(&["connector", "operations", WORKSPACE, "up"]);
    let named = operations["items"].as_array().unwrap().iter().find(|known| known["name"] == "refund").unwrap();
    assert_eq!((&named["description"], &named["idempotency"]), (&json!("POST /r/{id}"), &json!("always")));
}

fn submit(server: &Server<'_>, more: &[&str]) -> String {
    let mut all = vec!["jobs", "submit", "--connector", "up", "--operation", "request", "--input", INPUT];
    all.extend(more);
    product(server, &all).well()
}

#[test]
fn a_job_is_submitted_watched_and_told_of_by_events() {
    let (install, upstream) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &upstream);
    let job = submit(&server, &["--idempotency-key", "order-1", "--metadata", "order=1"]);
    assert_eq!(submit(&server, &["--idempotency-key", "order-1", "--metadata", "order=1"]), job);
    let asked = upstream.next();
    assert!(asked.head.starts_with("POST /refunds ") && asked.body.contains("\"amount\":5"), "{}", asked.head);
    asked.answer(200, "{\"refund\":7}");
    let watched = product(&server, &["jobs", "watch", &job]).well();
    assert!(watched.lines().last().unwrap().contains("succeeded  attempt 1/"), "{watched}");
    let shown = product(&server, &["jobs", "get", &job, "--output", "json"]).json();
    assert_eq!((&shown["output"]["body"]["refund"], &shown["metadata"]["order"]), (&json!(7), &json!("1")), "{shown}");
    let listed = product(&server, &["jobs", "list", "--status", "succeeded", "--output", "json"]).json();
    assert_eq!(listed["items"][0]["id"], *job);

    let told = ["events", "tail", "--subject", &job, "--output", "json"];
    let pages = product(&server, &[&told[..], &["--no-follow"]].concat()).well();
    let stream = product(&server, &[&told[..], &["--limit", "3"]].concat()).well();
    assert_eq!(pages, stream);
    let types: Vec<Value> =
        pages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
    assert_eq!(types, ["job.queued", "job.started", "job.succeeded"]);
    let first: Value = serde_json::from_str(pages.lines().next().unwrap()).unwrap();
    let after = ["--after", first["id"].as_str().unwrap(), "--no-follow"];
    assert_eq!(product(&server, &[&told[..], &after].concat()).well().lines().count(), 2);
}

#[test]
fn a_scheduled_job_is_cancelled() {
    let (install, upstream) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &upstream);
    let job = submit(&server, &["--delay", "1h"]);
    assert!(product(&server, &["jobs", "watch", &job, "--timeout", "0s"]).refused().contains("still scheduled"));
    assert!(product(&server, &["jobs", "cancel", &job]).well().contains("cancelled"));
    let watched = product(&server, &["jobs", "watch", &job]);
    assert_eq!(watched.status.code(), Some(1), "{watched:?}");
}

#[test]
fn a_dead_letter_is_replayed_and_purged_with_a_reason() {
    let (install, upstream) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &upstream);
    let job = submit(&server, &[]);
    upstream.next().answer(400, "{}");
    assert_eq!(product(&server, &["jobs", "watch", &job]).status.code(), Some(1));
    let letters = server.json(&["dlq", "list", WORKSPACE]);
    assert_eq!((&letters["items"][0]["id"], &letters["items"][0]["reason"]), (&json!(job), &json!("rejected")));
    for arguments in [&["--all"][..], &["--reason", "fixed"], &["--all", "--id", &job, "--reason", "fixed"]] {
        let done = server.run(&[&["dlq", "replay", WORKSPACE][..], arguments].concat());
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {done:?}");
    }
    assert_eq!(server.run(&["dlq", "replay", WORKSPACE, "--id", &job, "--reason", "fixed"]).well(), "replayed: 1");
    upstream.next().answer(400, "{}");
    product(&server, &["jobs", "watch", &job]);
    assert_eq!(
        server.run(&["dlq", "purge", WORKSPACE, "--connector", "up", "--reason", "hopeless"]).well(),
        "purged: 1"
    );
    assert_eq!(server.json(&["dlq", "list", WORKSPACE])["items"], json!([]));
    let gone = server.run(&["dlq", "purge", WORKSPACE, "--id", &job, "--reason", "again"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(gone.out.contains("not purged: "), "{gone:?}");
}

#[test]
fn an_execution_is_shown_with_its_attempts_and_decisions() {
    let (install, upstream) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &upstream);
    let token = install.mint(&[
        "--aud",
        "orchestrator-exec",
        "--sub",
        "svc:tester",
        "--workspace",
        WORKSPACE,
        "--scope",
        "orchestrator.execute",
    ]);
    let client = orchestrator_client::Client::new(&server.url, token).unwrap();
    let call = serde_json::from_value(
        json!({"connector": "up", "operation": "request", "input": {"method": "GET", "path": "/a"}}),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let call = call.unwrap();
    let answered = runtime.spawn(async move { client.execute(&call).await.unwrap() });
    upstream.next().answer(200, "{}");
    let id = runtime.block_on(answered).unwrap().id.to_string();
    let shown = product(&server, &["execution", "get", &id, "--output", "json"]).json();
    assert_eq!((&shown["status"], &shown["attempts_log"][0]["status"]), (&json!("succeeded"), &json!(200)));
    let text = product(&server, &["execution", "get", &id]).well();
    assert!(text.contains("\nATTEMPT") && text.contains("\nPOLICY"), "{text}");
}
