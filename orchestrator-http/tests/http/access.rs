//! Every route with every kind of principal.

use orchestrator_http::openapi;
use orchestrator_http::tokens::{Audience, NewToken, Scopes};
use orchestrator_types::scope;
use serde_json::{Value, json};

use crate::install::{self, Install, WORKSPACE};

/// The contract's own words, not the table of the code: each route and the principals that may take it.
/// e execute, w jobs.write, j jobs.read, v events.read; I the install's administrator; A Admin, S Support, R ReadOnly,
/// B BreakGlass without a grant; O an operator without a role here.
const MATRIX: &[(&str, &str, &str)] = &[
    ("POST", "/execute", "e"),
    ("GET", "/executions/{id}", "e"),
    ("GET", "/config", "ewjv"),
    ("POST", "/jobs", "w"),
    ("POST", "/jobs/batch", "w"),
    ("GET", "/jobs", "j"),
    ("GET", "/jobs/{id}", "j"),
    ("POST", "/jobs/{id}/cancel", "w"),
    ("GET", "/events", "jv"),
    ("POST", "/payloads", "ew"),
    ("GET", "/payloads/{id}", "ej"),
    ("GET", "/connector-kinds", "IASRBO"),
    ("GET", "/audit", "I"),
    ("GET", "/audit/verify", "I"),
    ("GET", "/secrets/keys", "I"),
    ("POST", "/secrets/rotate-kek", "I"),
    ("GET", "/workspaces", "IASRBO"),
    ("POST", "/workspaces", "I"),
    ("GET", "/workspaces/{ws}", "IASRB"),
    ("DELETE", "/workspaces/{ws}", "I"),
    ("POST", "/workspaces/{ws}/suspend", "I"),
    ("POST", "/workspaces/{ws}/resume", "I"),
    ("GET", "/workspaces/{ws}/config", "IASRB"),
    ("GET", "/workspaces/{ws}/configs", "IASRB"),
    ("POST", "/workspaces/{ws}/configs", "IA"),
    ("GET", "/workspaces/{ws}/configs/{version}", "IASRB"),
    ("GET", "/workspaces/{ws}/configs/{from}/diff/{to}", "IASRB"),
    ("PUT", "/workspaces/{ws}/config-pointer", "IA"),
    ("POST", "/workspaces/{ws}/rollback", "IA"),
    ("PUT", "/workspaces/{ws}/policies/{name}", "IA"),
    ("DELETE", "/workspaces/{ws}/policies/{name}", "IA"),
    ("PUT", "/workspaces/{ws}/connectors/{name}", "IA"),
    ("DELETE", "/workspaces/{ws}/connectors/{name}", "IA"),
    ("POST", "/workspaces/{ws}/connectors/{name}/check", "IASB"),
    ("GET", "/workspaces/{ws}/connectors/{name}/operations", "IASRB"),
    ("PUT", "/workspaces/{ws}/secret-refs/{name}", "IA"),
    ("DELETE", "/workspaces/{ws}/secret-refs/{name}", "IA"),
    ("PUT", "/workspaces/{ws}/callbacks/{name}", "IA"),
    ("DELETE", "/workspaces/{ws}/callbacks/{name}", "IA"),
    ("PUT", "/workspaces/{ws}/webhook-routes/{name}", "IA"),
    ("DELETE", "/workspaces/{ws}/webhook-routes/{name}", "IA"),
    ("GET", "/workspaces/{ws}/bundle", "IASRB"),
    ("PUT", "/workspaces/{ws}/bundle", "IA"),
    ("GET", "/workspaces/{ws}/secrets", "IASRB"),
    ("PUT", "/workspaces/{ws}/secrets/{name}", "IA"),
    ("POST", "/workspaces/{ws}/secrets/{name}/rotate", "IA"),
    ("GET", "/workspaces/{ws}/operators", "IASRB"),
    ("GET", "/workspaces/{ws}/operators/{sub}", "IASRB"),
    ("PUT", "/workspaces/{ws}/operators/{sub}", "IA"),
    ("DELETE", "/workspaces/{ws}/operators/{sub}", "IA"),
    ("GET", "/workspaces/{ws}/identities", "IASRB"),
    ("POST", "/workspaces/{ws}/identities", "IA"),
    ("DELETE", "/workspaces/{ws}/identities/{name}", "IA"),
    ("GET", "/workspaces/{ws}/dlq", "IASRB"),
    ("POST", "/workspaces/{ws}/dlq/replay", "IASB"),
    ("POST", "/workspaces/{ws}/dlq/purge", "IA"),
    ("GET", "/workspaces/{ws}/audit", "IASRB"),
    ("GET", "/workspaces/{ws}/audit/verify", "IASRB"),
    ("GET", "/workspaces/{ws}/requests", "IASRB"),
    ("GET", "/workspaces/{ws}/inbox", "IASRB"),
    ("GET", "/workspaces/{ws}/inbox/{id}", "IASRB"),
    ("POST", "/workspaces/{ws}/inbox/{id}/replay", "IASB"),
];

const PUBLIC: &[&str] = &[
    "/oauth/token",
    "/.well-known/jwks.json",
    "/webhooks/{provider}",
    "/webhooks/{provider}/{route_key}",
    "/schemas/bundle.json",
];

/// A path that names nothing but the workspace: what is allowed then fails by what it asks for, and changes nothing.
fn concrete(path: &str, workspace: &str) -> String {
    path.replace("{ws}", workspace)
        .replace("{version}", "999")
        .replace("{from}", "998")
        .replace("{to}", "999")
        .replace("{name}", "svc:none")
        .replace("{sub}", "nobody")
        .replace("{id}", "nothing")
}

async fn principals(install: &Install) -> Vec<(char, String)> {
    let exec = |scope: &str| install.token(Audience::Exec, "svc:test", Some(WORKSPACE), &[scope]);
    let mut all = vec![
        ('e', exec(scope::EXECUTE)),
        ('w', exec(scope::JOBS_WRITE)),
        ('j', exec(scope::JOBS_READ)),
        ('v', exec(scope::EVENTS_READ)),
        // A scope that only begins like one, and one of the other API.
        ('x', exec("orchestrator.executeX")),
        ('y', exec(scope::ADMIN)),
        ('I', install.admin()),
        ('O', install.operator("stranger")),
        ('X', install.token(Audience::Control, "root", None, &[scope::EXECUTE, "orchestrator.administrator"])),
    ];
    for (letter, role) in [('A', "Admin"), ('S', "Support"), ('R', "ReadOnly"), ('B', "BreakGlass")] {
        let path = format!("/workspaces/{WORKSPACE}/operators/{role}");
        let put = install.send("PUT", &path, &install.admin(), Some(json!({"role": role}))).await;
        assert_eq!(put.status, 200);
        all.push((letter, install.operator(role)));
    }
    all
}

fn without_trace(mut problem: Value) -> Value {
    problem.as_object_mut().unwrap().remove("trace_id").unwrap();
    problem
}

#[tokio::test]
async fn inv_27_each_route_is_open_to_whom_the_contract_says_and_to_nobody_else() {
    let install = install::start_onboarded().await;
    let principals = principals(&install).await;
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let row = MATRIX.iter().find(|row| row.0 == method && row.1 == path);
            if PUBLIC.contains(&path.as_str()) {
                assert!(row.is_none());
                continue;
            }
            let allowed = row.unwrap_or_else(|| panic!("{method} {path} has no row in the matrix")).2;
            let of_exec = "ewjvxy".contains(allowed.chars().next().unwrap());
            for (letter, token) in &principals {
                let answer = install.send(&method, &concrete(path, WORKSPACE), token, None).await;
                let code = if answer.status < 400 { Value::Null } else { answer.json()["code"].clone() };
                let expected = match letter {
                    // Another API's token is no token here.
                    _ if of_exec != "ewjvxy".contains(*letter) => Some((401, "unauthenticated")),
                    _ if allowed.contains(*letter) => None,
                    'O' if path.contains("{ws}") => Some((404, "workspace_not_found")),
                    _ => Some((403, "forbidden")),
                };
                match expected {
                    Some((status, expected)) => {
                        assert_eq!(
                            (answer.status, code.as_str()),
                            (status, Some(expected)),
                            "{letter} {method} {path}"
                        );
                    }
                    None => assert!(
                        !matches!(answer.status, 401 | 403 | 405 | 500..) && code != "workspace_not_found",
                        "{letter} {method} {path} got {} {code}",
                        answer.status
                    ),
                }
            }
        }
    }
}

#[tokio::test]
async fn inv_25_what_is_no_token_is_refused_on_every_route_in_one_wording() {
    let install = install::start_onboarded().await;
    let good = install.service(WORKSPACE);
    let other = install::start().await;
    let forged = [
        String::new(),
        "x".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}x"),
        format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap()),
        other.service(WORKSPACE),
        other.admin(),
    ];
    let mut wordings = std::collections::BTreeSet::new();
    for (method, path, _) in MATRIX {
        for token in &forged {
            let answer = install.send(method, &concrete(path, WORKSPACE), token, None).await;
            assert_eq!(answer.status, 401, "{method} {path} {token}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            wordings.insert(without_trace(answer.json()).to_string());
        }
    }
    assert_eq!(wordings.len(), 1, "{wordings:?}");
    // Given twice it is none either.
    let twice = format!("Authorization: Bearer {good}\r\n");
    assert_eq!(install.send_with("GET", "/config", &good, &twice, None).await.status, 401);
    assert_eq!(install.get("/config", &good).await.status, 200);
}

#[tokio::test]
async fn in_prod_operators_come_through_the_console_and_only_to_the_workspace_they_were_sent_to() {
    let install = install::start_in("prod", orchestrator_http::ApiLimits::default()).await;
    install.onboard("buildos-prod").await;
    install.onboard("beauty-prod").await;
    for workspace in ["buildos-prod", "beauty-prod"] {
        let path = format!("/workspaces/{workspace}/operators/ada");
        assert_eq!(install.send("PUT", &path, &install.admin(), Some(json!({"role": "Admin"}))).await.status, 200);
    }
    let token = |actor: Option<&str>, tid: Option<&str>| {
        let new = NewToken {
            audience: Audience::Control,
            subject: "ada".to_owned(),
            workspace: tid.map(|tid| tid.parse().unwrap()),
            scopes: Scopes::new([scope::OPERATOR]),
            actor: actor.map(str::to_owned),
            generation: None,
            ttl: std::time::Duration::from_secs(60),
        };
        install.tokens.issue(&new).unwrap()
    };
    for (actor, tid, status, code) in [
        (None, None, 403, Some("impersonation_required")),
        (Some("svc:billing"), None, 403, Some("impersonation_required")),
        (Some("svc:operator-console"), Some("beauty-prod"), 404, Some("workspace_not_found")),
        (Some("svc:operator-console"), Some("buildos-prod"), 200, None),
    ] {
        let answer = install.get("/workspaces/buildos-prod/config", &token(actor, tid)).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, code), "{actor:?} {tid:?}");
    }
    let path = "/workspaces/buildos-prod/rollback";
    let sent = token(Some("svc:operator-console"), Some("buildos-prod"));
    assert_eq!(install.send("POST", path, &sent, Some(json!({"reason": "back"}))).await.status, 200);
    let trail = install.get("/workspaces/buildos-prod/audit?limit=500", &install.admin()).await.json();
    let last = trail["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["actor"], &last["via"]), (&json!("ada"), &json!("svc:operator-console")));
}

#[tokio::test]
async fn inv_13_another_workspace_cannot_be_told_from_none() {
    let install = install::start_onboarded().await;
    install.onboard("beauty-dev").await;
    let put = json!({"role": "Admin"});
    let path = format!("/workspaces/{WORKSPACE}/operators/ada");
    assert_eq!(install.send("PUT", &path, &install.admin(), Some(put)).await.status, 200);
    let ada = install.operator("ada");
    for (method, path, _) in MATRIX.iter().filter(|row| row.1.contains("{ws}")) {
        let body = || Some(json!({"reason": "because"}));
        let mut seen = std::collections::BTreeSet::new();
        for workspace in ["beauty-dev", "nobody-dev", "beauty-prod", "Beauty-dev", "x", "%00", "beauty-dev%2f"] {
            let answer = install.send(method, &concrete(path, workspace), &ada, body()).await;
            seen.insert((answer.status, without_trace(answer.json()).to_string()));
        }
        assert_eq!(seen.len(), 1, "{method} {path}: {seen:?}");
        assert_eq!(seen.first().unwrap().0, 404);
    }
    // Lists show her own only, and their cursors name no other.
    let listed = install.get("/workspaces?limit=1", &ada).await.json();
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["next_cursor"]), (1, &Value::Null));
    assert_eq!(listed["items"][0]["name"], WORKSPACE);
}

#[tokio::test]
async fn inv_13_things_of_another_workspace_are_not_found() {
    let install = install::start_onboarded().await;
    install.onboard("beauty-dev").await;
    let (mine, theirs) = (install.service("beauty-dev"), install.service(WORKSPACE));
    let call = json!({"connector": "fake", "operation": "echo", "input": {"a": 1}});
    let execution = install.send("POST", "/execute", &theirs, Some(call.clone())).await.json()["id"].clone();
    let job = install.send("POST", "/jobs", &theirs, Some(call)).await.json()["id"].clone();
    let (execution, job) = (execution.as_str().unwrap(), job.as_str().unwrap());
    for (method, path, known) in
        [("GET", "/executions/", execution), ("GET", "/jobs/", job), ("POST", "/jobs/{}/cancel", job)]
    {
        let at = |id: &str| if path.contains("{}") { path.replace("{}", id) } else { format!("{path}{id}") };
        let never = known.replace(&known[known.len() - 4..], "0000");
        let foreign = install.send(method, &at(known), &mine, None).await;
        let absent = install.send(method, &at(&never), &mine, None).await;
        assert_eq!(foreign.status, 404, "{method} {path}");
        assert_eq!(without_trace(foreign.json()), without_trace(absent.json()));
        assert!(install.send(method, &at(known), &theirs, None).await.status < 500);
    }
    let theirs = install.get("/events", &theirs).await.json()["items"].as_array().unwrap().len();
    let mine = install.get(&format!("/events?subject={job}"), &mine).await.json();
    assert!(theirs > 0 && mine["items"].as_array().unwrap().is_empty());
}
