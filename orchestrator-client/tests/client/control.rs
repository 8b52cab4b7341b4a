//! Every control call goes to its route, with its body.

use http::Method;
use orchestrator_client::{Client, ETag, Workspace};
use orchestrator_types::{
    Bundle, CallbackConfig, ConfigRequest, ConnectorConfig, ConnectorHealth, DlqFilter, DlqRequest, IdentityRequest,
    InboxId, Name, Policy, Role, SecretRef, SecretRequest, WebhookRouteConfig, WorkspaceConfig, WorkspaceRequest,
    WorkspaceView,
};
use serde_json::{Value, json};

use crate::server::{Server, answer, problem, with};

const TIME: &str = "2026-01-01T00:00:00.000Z";

fn workspace() -> Value {
    json!({"name": "buildos-dev", "status": "active", "environment": "dev", "created_at": TIME, "config_version": 1})
}

fn version() -> Value {
    json!({"version": 2, "hash": "ab", "author": "ada", "message": "m", "created_at": TIME, "active": true, "config": {}})
}

fn record() -> Value {
    json!({"version": 1, "name": "x", "active_versions": [1], "updated_at": TIME, "sub": "ada", "role": "Admin"})
}

fn of(client: &Client) -> Workspace {
    client.workspace(&"buildos-dev".parse().unwrap())
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The last request: its method, target and body.
fn last(server: &Server) -> (Method, String, Value) {
    let seen = server.seen().pop().unwrap();
    let body = if seen.body.is_empty() { Value::Null } else { seen.json() };
    (seen.method, seen.target, body)
}

#[tokio::test]
async fn workspaces_are_made_read_suspended_resumed_and_deleted() {
    let server = Server::answering(|seen, _| match (&seen.method, seen.path()) {
        (&Method::GET, "/workspaces") => answer(200, &json!({"items": [workspace()], "next_cursor": null})),
        (&Method::DELETE, _) => {
            axum::response::Response::builder().status(204).body(axum::body::Body::empty()).unwrap()
        }
        _ => answer(200, &workspace()),
    })
    .await;
    let client = server.client();
    let ws = of(&client);

    client.create_workspace(&WorkspaceRequest { name: ws.id().clone(), template: None }).await.unwrap();
    assert_eq!(last(&server), (Method::POST, "/workspaces".to_owned(), json!({"name": "buildos-dev"})));
    let listed: Vec<WorkspaceView> = client.workspaces().await.unwrap().items;
    assert_eq!(listed[0].name, *ws.id());
    assert_eq!(ws.get().await.unwrap(), listed[0]);
    assert_eq!(last(&server), (Method::GET, "/workspaces/buildos-dev".to_owned(), Value::Null));
    ws.suspend("why").await.unwrap();
    assert_eq!(last(&server), (Method::POST, "/workspaces/buildos-dev/suspend".to_owned(), json!({"reason": "why"})));
    ws.resume("why").await.unwrap();
    assert_eq!(last(&server), (Method::POST, "/workspaces/buildos-dev/resume".to_owned(), json!({"reason": "why"})));
    ws.delete("why").await.unwrap();
    assert_eq!(last(&server), (Method::DELETE, "/workspaces/buildos-dev".to_owned(), json!({"reason": "why"})));
}

#[tokio::test]
async fn configs_are_read_added_compared_activated_and_rolled_back() {
    let server = Server::answering(|seen, _| match (&seen.method, seen.path()) {
        (&Method::GET, "/workspaces/buildos-dev/configs") => {
            answer(200, &json!({"items": [version()], "next_cursor": null}))
        }
        (&Method::GET, path) if path.contains("/diff/") => answer(200, &json!({"from": 1, "to": 2, "changes": []})),
        _ if seen.header("if-match") == Some("\"old\"") => problem(412, "version_conflict"),
        _ => with(answer(200, &version()), "etag", "\"2\""),
    })
    .await;
    let client = server.client();
    let ws = of(&client);

    let active = ws.config().await.unwrap();
    assert_eq!((active.body.version, active.etag), (2, Some(ETag::new("\"2\""))));
    assert_eq!(last(&server).1, "/workspaces/buildos-dev/config");
    ws.config_version(2).await.unwrap();
    assert_eq!(last(&server).1, "/workspaces/buildos-dev/configs/2");
    assert_eq!(ws.config_versions().await.unwrap().items[0].version, 2);
    ws.diff_configs(1, 2).await.unwrap();
    assert_eq!(last(&server).1, "/workspaces/buildos-dev/configs/1/diff/2");

    let request = ConfigRequest { config: WorkspaceConfig::default(), message: "m".to_owned(), activate: Some(false) };
    assert_eq!(ws.add_config(&request).await.unwrap().body.version, 2);
    let (method, target, body) = last(&server);
    assert_eq!((method, target.as_str()), (Method::POST, "/workspaces/buildos-dev/configs"));
    assert_eq!(body, serde_json::to_value(&request).unwrap());

    let changed = ws.activate_config(1, "why").if_match(&ETag::new("\"2\"")).await.unwrap();
    assert_eq!(changed.etag, Some(ETag::new("\"2\"")));
    let (method, target, body) = last(&server);
    assert_eq!((method, target.as_str()), (Method::PUT, "/workspaces/buildos-dev/config-pointer"));
    assert_eq!(body, json!({"version": 1, "reason": "why"}));
    assert_eq!(server.seen().last().unwrap().header("if-match"), Some("\"2\""));

    let stale = ws.rollback_config("why").if_match(&ETag::new("\"old\"")).await.unwrap_err();
    assert_eq!(stale.status().unwrap(), 412);
    assert_eq!(last(&server), (Method::POST, "/workspaces/buildos-dev/rollback".to_owned(), json!({"reason": "why"})));
    let sent = server.seen().len();
    assert!(ws.rollback_config("why").if_match(&ETag::new("a\nb")).await.is_err());
    assert_eq!(server.seen().len(), sent, "what no header can carry is not sent");
}

#[tokio::test]
async fn each_part_of_a_config_has_its_collection() {
    let server = Server::answering(|_, _| answer(200, &version())).await;
    let client = server.client();
    let ws = of(&client);
    let part = name("x");
    let of_json = |value: Value| value;

    ws.put(&part, &Policy::default()).await.unwrap();
    ws.remove::<Policy>(&part).await.unwrap();
    let connector: ConnectorConfig = serde_json::from_value(of_json(json!({"kind": "http"}))).unwrap();
    ws.put(&part, &connector).await.unwrap();
    ws.remove::<ConnectorConfig>(&part).await.unwrap();
    ws.put(&part, &SecretRef::Stored { name: name("s") }).await.unwrap();
    ws.remove::<SecretRef>(&part).await.unwrap();
    let callback: CallbackConfig =
        serde_json::from_value(of_json(json!({"url": "https://p.example", "signing_secret": "s"}))).unwrap();
    ws.put(&part, &callback).await.unwrap();
    ws.remove::<CallbackConfig>(&part).await.unwrap();
    let route: WebhookRouteConfig =
        serde_json::from_value(of_json(json!({"provider": "stripe", "signing_secret": "s"}))).unwrap();
    ws.put(&part, &route).await.unwrap();
    ws.remove::<WebhookRouteConfig>(&part).await.unwrap();

    let seen = server.seen();
    let collections = ["policies", "connectors", "secret-refs", "callbacks", "webhook-routes"];
    for (pair, collection) in seen.chunks(2).zip(collections) {
        let target = format!("/workspaces/buildos-dev/{collection}/x");
        assert_eq!((&pair[0].method, &pair[0].target), (&Method::PUT, &target));
        assert_eq!((&pair[1].method, &pair[1].target), (&Method::DELETE, &target));
    }
    assert_eq!(seen[4].json(), json!({"source": "stored", "name": "s"}));
    assert_eq!(seen[8].json(), serde_json::to_value(&route).unwrap());
}

#[tokio::test]
async fn a_bundle_is_exported_planned_and_imported() {
    let bundle = json!({"format": 1, "workspace": "buildos-dev", "config": WorkspaceConfig::default()});
    let exported = bundle.clone();
    let server = Server::answering(move |seen, _| {
        let dry_run = seen.target.ends_with("?dry_run=true");
        match seen.method {
            Method::GET => answer(200, &exported),
            _ => answer(
                200,
                &json!({"workspace": "buildos-dev", "dry_run": dry_run, "created": false, "version": 2, "changes": []}),
            ),
        }
    })
    .await;
    let client = server.client();
    let ws = of(&client);
    let read: Bundle = ws.export_bundle().await.unwrap();
    assert!(ws.import_bundle(&read, true).await.unwrap().dry_run);
    assert!(!ws.import_bundle(&read, false).await.unwrap().dry_run);
    assert_eq!(last(&server), (Method::PUT, "/workspaces/buildos-dev/bundle".to_owned(), bundle));
}

#[tokio::test]
async fn secrets_operators_and_identities_are_managed() {
    let server = Server::answering(|seen, _| match (&seen.method, seen.path()) {
        (&Method::GET, path) if path.ends_with("/secrets") || path.ends_with("/identities") => {
            answer(200, &json!({"items": [], "next_cursor": null}))
        }
        (&Method::POST, path) if path.ends_with("/identities") => {
            answer(201, &json!({"name": "svc:b", "scopes": [], "client_id": "c", "client_secret": "s"}))
        }
        _ => answer(200, &record()),
    })
    .await;
    let client = server.client();
    let ws = of(&client);
    let secret = SecretRequest { value: "v".to_owned() };

    ws.put_secret(&name("x"), &secret).await.unwrap();
    assert_eq!(last(&server), (Method::PUT, "/workspaces/buildos-dev/secrets/x".to_owned(), json!({"value": "v"})));
    ws.rotate_secret(&name("x"), &secret).await.unwrap();
    assert_eq!(
        last(&server),
        (Method::POST, "/workspaces/buildos-dev/secrets/x/rotate".to_owned(), json!({"value": "v"}))
    );
    assert!(ws.secrets().await.unwrap().items.is_empty());

    let odd = "auth0|a/b";
    assert_eq!(ws.operator(odd).await.unwrap().role, Role::Admin);
    assert_eq!(last(&server).1, "/workspaces/buildos-dev/operators/auth0|a%2Fb");
    ws.put_operator("ada", Role::Support).await.unwrap();
    assert_eq!(
        last(&server),
        (Method::PUT, "/workspaces/buildos-dev/operators/ada".to_owned(), json!({"role": "Support"}))
    );
    ws.delete_operator("ada").await.unwrap();
    assert_eq!(last(&server).0, Method::DELETE);
    let sent = server.seen().len();
    assert!(ws.delete_operator("..").await.is_err());
    assert_eq!(server.seen().len(), sent, "a subject never becomes another path");

    let request = IdentityRequest { name: "svc:b".parse().unwrap(), scopes: Vec::new(), public_key: None };
    assert_eq!(ws.create_identity(&request).await.unwrap().client_secret.as_deref(), Some("s"));
    assert!(ws.identities().await.unwrap().items.is_empty());
    ws.delete_identity(&request.name).await.unwrap();
    assert_eq!(last(&server), (Method::DELETE, "/workspaces/buildos-dev/identities/svc:b".to_owned(), Value::Null));
}

#[tokio::test]
async fn dead_letters_the_inbox_and_the_records_are_reached() {
    let entry = json!({
        "id": InboxId::from_bits(7), "provider": "stripe", "route": "main", "account": null, "event_id": "evt_1",
        "event_type": null, "received_at": TIME, "status": "delivered", "job": null, "duplicates": 0,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    let check = json!({
        "connector": "billing-api", "kind": "http", "health": "failed", "duration_ms": 3, "checked_at": TIME,
        "error": {"code": "upstream_failed", "detail": "no"}, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    let server = Server::answering(move |seen, _| {
        let path = seen.path();
        if path.ends_with("/verify") {
            answer(200, &json!({"intact": true, "records": 1, "head": "ab", "broken_at": null}))
        } else if path.contains("/dlq/") {
            answer(200, &json!({"count": 0, "ids": [], "skipped": []}))
        } else if path.ends_with("/check") {
            answer(200, &check)
        } else if path.contains("/inbox/") {
            answer(200, &entry)
        } else {
            answer(200, &json!({"items": [], "next_cursor": null}))
        }
    })
    .await;
    let client = server.client();
    let ws = of(&client);
    let request = DlqRequest { ids: None, filter: Some(DlqFilter::default()), reason: "why".to_owned() };

    assert!(ws.dlq().limit(5).await.unwrap().items.is_empty());
    ws.replay_dlq(&request).await.unwrap();
    ws.purge_dlq(&request).await.unwrap();
    assert_eq!(last(&server).2, json!({"filter": {}, "reason": "why"}));
    assert!(ws.inbox().await.unwrap().items.is_empty());
    ws.inbox_entry(InboxId::from_bits(7)).await.unwrap();
    ws.replay_inbox_entry(InboxId::from_bits(7), "why").await.unwrap();
    assert_eq!(last(&server).2, json!({"reason": "why"}));
    assert!(ws.audit().await.unwrap().items.is_empty());
    assert!(ws.verify_audit().await.unwrap().intact);
    assert!(ws.requests().await.unwrap().items.is_empty());
    assert!(client.audit().await.unwrap().items.is_empty());
    assert!(client.verify_audit().await.unwrap().intact);
    assert!(client.connector_kinds().await.unwrap().items.is_empty());
    assert_eq!(ws.check_connector(&"billing-api".parse().unwrap()).await.unwrap().health, ConnectorHealth::Failed);

    assert!(ws.operations(&"billing-api".parse().unwrap()).await.unwrap().items.is_empty());

    let base = "/workspaces/buildos-dev";
    let inbox = InboxId::from_bits(7);
    let seen: Vec<_> = server.seen().iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(
        seen,
        [
            format!("GET {base}/dlq?limit=5"),
            format!("POST {base}/dlq/replay"),
            format!("POST {base}/dlq/purge"),
            format!("GET {base}/inbox"),
            format!("GET {base}/inbox/{inbox}"),
            format!("POST {base}/inbox/{inbox}/replay"),
            format!("GET {base}/audit"),
            format!("GET {base}/audit/verify"),
            format!("GET {base}/requests"),
            "GET /audit".to_owned(),
            "GET /audit/verify".to_owned(),
            "GET /connector-kinds".to_owned(),
            format!("POST {base}/connectors/billing-api/check"),
            format!("GET {base}/connectors/billing-api/operations"),
        ]
    );
}
