//! Starting and stopping.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::kit::{Install, Upstream, finish, get, mode};

#[test]
fn a_server_without_settings_is_ready_and_keeps_its_things_private() {
    let install = Install::new();
    let server = install.serve();
    assert_eq!(get(&server.ops, "/healthz").0, 200);
    assert_eq!(get(&server.ops, "/readyz").0, 200);
    assert!(get(&server.ops, "/metrics").1.contains("orchestrator_store_up 1"));
    assert_eq!(get(&server.url, "/openapi.json").0, 200);
    assert_eq!(mode(&install.path("orchestrator-data")), 0o700);
    assert_eq!(mode(&install.path("orchestrator-data/kek")), 0o600);
    assert_eq!(mode(&install.path("orchestrator-data/orchestrator.db")), 0o600);
}

#[test]
fn a_setting_that_is_unknown_or_cannot_work_stops_the_start_with_one_line() {
    let install = Install::new();
    let refusal = |name: &str, value: &str| {
        let mut command = install.command(&["serve"]);
        command.env(name, value);
        finish(command).refused()
    };
    assert_eq!(
        refusal("ORCHESTRATOR__STORE__URLS", "sqlite://c4n4ry"),
        "error: `store.urls` (from the environment variable ORCHESTRATOR__STORE__URLS) is no setting of this server"
    );
    assert_eq!(
        refusal("ORCHESTRATOR__STORE__URL", "mysql://user:c4n4ry@db/x"),
        "error: the setting `store.url` (from the environment variable ORCHESTRATOR__STORE__URL) cannot work: \
         sqlite://<path> or postgres://<user>:<password>@<host>/<database> is expected"
    );
    let file = install.write("orchestrator.toml", "[listen]\napis = \"c4n4ry\"\n");
    assert_eq!(
        install.run(&["serve"]).refused(),
        "error: `listen.apis` (from orchestrator.toml) is no setting of this server"
    );
    let named = install.run(&["serve", "--config", &file]).refused();
    assert_eq!(named, format!("error: `listen.apis` (from {file}) is no setting of this server"));
    assert!(!install.path("orchestrator-data").exists(), "a refused start made something");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let install = Install::new();
    let server = install.serve();
    let line = install.run(&["serve"]).refused();
    assert!(line.starts_with("error: the store ") && line.ends_with("is in use by another process"), "{line}");
    let line = install.run(&["migrate"]).refused();
    assert!(line.ends_with("is in use by another process"), "{line}");
    assert_eq!(get(&server.ops, "/readyz").0, 200);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let install = Install::new();
    let taken = Upstream::start();
    let address = taken.url.trim_start_matches("http://");
    let line = install.run(&["serve", "--listen-api", address]).refused();
    assert!(line.starts_with(&format!("error: `listen.api` cannot be bound to {address}")), "{line}");
}

#[test]
fn a_store_of_another_environment_is_refused() {
    for install in Install::of_each_backend() {
        drop(install.serve());
        let line = install.run(&["serve", "--environment", "prod"]).refused();
        assert!(line.contains("belongs to the environment `dev`"), "{line}");
        let mint = ["token", "mint", "--aud", "orchestrator-control", "--sub", "a", "--scope", "orchestrator.admin"];
        let mut other = mint.to_vec();
        other.extend(["--environment", "prod"]);
        assert!(install.run(&other).refused().contains("belongs to the environment `dev`"));
        assert!(install.run(&mint).status.success());
    }
}

#[test]
fn a_key_file_that_is_gone_stops_the_start_and_is_not_replaced() {
    for install in Install::of_each_backend() {
        drop(install.serve());
        let key = install.path("orchestrator-data/kek");
        std::fs::rename(&key, install.path("kept")).unwrap();
        let line = install.run(&["serve"]).refused();
        assert!(line.contains("is gone, and the store holds what it sealed"), "{line}");
        assert!(!key.exists());
        std::fs::rename(install.path("kept"), &key).unwrap();
        install.serve();
    }
}

/// Submits a job that asks the upstream for `/a`.
const SUBMIT: [&str; 8] = [
    "jobs",
    "submit",
    "--connector",
    "up",
    "--operation",
    "request",
    "--input",
    "{\"method\":\"GET\",\"path\":\"/a\"}",
];

#[test]
fn inv_12_sigterm_lets_the_running_job_end_and_exits_zero() {
    for install in Install::of_each_backend() {
        let upstream = Upstream::start();
        let mut server = install.serve();
        server.apply("drain-dev", &connector(&upstream.url));
        let job = finish(server.product("drain-dev", &SUBMIT)).well();
        let asked = upstream.next();
        server.terminate();
        server.logged("stopping");
        asked.answer(200, "{\"done\":true}");
        assert_eq!(server.ended().code(), Some(0));
        let server = install.serve();
        let shown = finish(server.product("drain-dev", &["jobs", "get", &job, "--output", "json"])).json();
        assert_eq!((&shown["status"], &shown["attempt"]), (&"succeeded".into(), &1.into()), "{shown}");
    }
}

#[test]
fn inv_12_what_does_not_end_within_the_drain_is_given_back_and_runs_again() {
    for install in Install::of_each_backend() {
        let upstream = Upstream::start();
        let mut server = install.serve_with(&["--drain-s", "1"]);
        server.apply("drain-dev", &connector(&upstream.url));
        let job = finish(server.product("drain-dev", &SUBMIT)).well();
        let asked = upstream.next();
        server.terminate();
        assert_eq!(server.ended().code(), Some(0));
        asked.answer(200, "{}");
        let server = install.serve();
        upstream.next().answer(200, "{}");
        let watched = finish(server.product("drain-dev", &["jobs", "watch", &job, "--output", "json"])).well();
        assert!(watched.lines().last().unwrap().contains("\"status\":\"succeeded\""), "{watched}");
    }
}

#[test]
fn inv_12_an_event_stream_that_is_open_does_not_hold_the_end_up() {
    let install = Install::new();
    let mut server = install.serve();
    server.apply("drain-dev", "  settings: {a: [1]}\n");
    let mut tail = server.product("drain-dev", &["events", "tail"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("workspace.created"));
    server.terminate();
    assert_eq!(server.logged("stopped")["level"], "INFO");
    assert_eq!(server.ended().code(), Some(0));
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn the_control_api_can_have_a_listener_of_its_own() {
    let install = Install::new();
    let server = install.serve_with(&["--listen-control", "127.0.0.1:0"]);
    assert_eq!(get(&server.url, "/workspaces").0, 404);
    assert_eq!(get(&server.url, "/jobs").0, 401);
}

#[test]
fn a_process_serves_its_roles_and_no_more() {
    for install in Install::of_each_backend() {
        let ingress = install.serve_with(&["--roles", "ingress"]);
        assert_eq!(get(&ingress.url, "/jobs").0, 404);
        assert_eq!(get(&ingress.url, "/webhooks/stripe").0, 405);
        drop(ingress);
        let api = install.serve_with(&["--roles", "api"]);
        assert_eq!(get(&api.url, "/jobs").0, 401);
        assert_eq!(get(&api.url, "/webhooks/stripe").0, 404);
        drop(api);
        let worker = install.serve_with(&["--roles", "worker"]);
        assert_eq!(worker.url, "");
        assert_eq!(get(&worker.ops, "/readyz").0, 200);
    }
}

#[test]
fn a_token_needs_an_install_and_sound_claims() {
    let install = Install::new();
    let mint = |more: &[&str]| {
        let mut all = vec!["token", "mint", "--sub", "a"];
        all.extend(more);
        install.run(&all)
    };
    let admin = ["--aud", "orchestrator-control", "--scope", "orchestrator.admin"];
    let line = mint(&admin).refused();
    assert!(line.contains("there is no store at") && line.contains("start the server first"), "{line}");
    drop(install.serve());
    assert_eq!(mint(&admin).well().split('.').count(), 3);
    for (wrong, told) in [
        (&["--aud", "exec", "--scope", "orchestrator.execute"][..], "an audience is"),
        (&["--aud", "orchestrator-exec", "--scope", "orchestrator.execute"], "names a workspace"),
        (
            &["--aud", "orchestrator-exec", "--scope", "orchestrator.execute", "--workspace", "a-prod"],
            "of this environment",
        ),
        (&["--aud", "orchestrator-control", "--scope", "orchestrator.execute"], "the scopes of `orchestrator-control`"),
        (&["--aud", "orchestrator-control", "--scope", "orchestrator.admin", "--ttl", "2h"], "one hour"),
    ] {
        let line = mint(wrong).refused();
        assert!(line.contains(told), "{line}");
    }
}

fn connector(url: &str) -> String {
    format!(
        "  policies:\n    default: {{timeout: {{attempt_ms: 60000, total_ms: 60000}}}}\n  \
           connectors:\n    up: {{kind: http, settings: {{base_url: '{url}'}}}}\n"
    )
}

#[test]
fn inv_06_a_full_disk_is_told_and_loses_nothing() {
    let install = Install::new();
    let input = format!("{{\"method\":\"POST\",\"path\":\"/\",\"text\":\"{}\"}}", "x".repeat(40_000));
    let later = ["jobs", "submit", "--connector", "up", "--operation", "request", "--delay", "1h", "--input"];
    let mut accepted = Vec::new();
    {
        let server = install.serve_on_a_small_disk(1_024);
        server.apply(
            "shop-dev",
            "  policies: {default: {}}\n  connectors:\n    up: {kind: http, settings: {base_url: 'http://127.0.0.1:1'}}\n",
        );
        let refused = loop {
            let done = finish(server.product("shop-dev", &[&later[..], &[&input]].concat()));
            if !done.status.success() {
                break done;
            }
            accepted.push(done.well());
            assert!(accepted.len() < 100, "the disk is never full");
        };
        assert!(refused.err.contains("unavailable"), "{refused:?}");
        assert!(!accepted.is_empty(), "the disk was full from the beginning");
        assert_eq!(get(&server.ops, "/healthz").0, 200);
        assert_eq!(get(&server.ops, "/readyz").0, 503, "a node that can write nothing is not ready");
    }
    let server = install.serve();
    assert_eq!(get(&server.ops, "/readyz").0, 200);
    let listed = finish(server.product("shop-dev", &["jobs", "list", "--limit", "500", "--output", "json"])).json();
    let mut kept: Vec<_> = listed["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    kept.reverse();
    assert_eq!(kept, accepted, "what was accepted is there, and nothing else");
}
