//! Every route of the contract has a method of the client, and the method asks for that route with what the contract says.
//!
//! The table is by hand: a route that appears in the document and has no row fails, as does a row whose method asks for
//! something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::HeaderMap;
use orchestrator_client::{
    Body, BoxError, Client, ClientCredentials, ClientKey, ETag, EventFilter, EventQuery, JobFilter, Operation, Retry,
    Workspace,
};
use orchestrator_http::tokens::{Assertion, AssertionVerifier};
use orchestrator_types::{
    Bundle, CallbackConfig, ConfigRequest, ConnectorConfig, DlqFilter, DlqRequest, EventId, EventType, ExecuteRequest,
    ExecutionId, IdempotencyKey, IdentityRequest, InboxId, JobBatchRequest, JobId, JobRequest, JobStatus, Name,
    PayloadId, Policy, Role, RotateKekRequest, RotateSecretRequest, SecretRef, SecretRequest, Timestamp, TraceId,
    WebhookRouteConfig, WorkspaceConfig, WorkspaceId, WorkspaceRequest,
};
use serde_json::{Value, json};
use tower::layer::layer_fn;
use tower::service_fn;

use crate::document::{operations, problems};

/// What a method sent.
#[derive(Debug, Clone)]
struct Sent {
    operation: &'static str,
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

type Ask = fn(Client) -> BoxFuture<'static, ()>;

macro_rules! rows {
    ($($operation:literal => |$client:ident| $ask:expr;)+) => {
        &[$(($operation, |$client: Client| async move { let _ = $ask.await; }.boxed()),)+]
    };
}

/// Each operation of the document, and a method that asks for it. More rows of one operation cover all of its parameters.
const TABLE: &[(&str, Ask)] = rows! {
    "execute" => |client| client.execute(&call()).idempotency_key(key());
    "get_execution" => |client| client.execution(ExecutionId::new());
    "upload_payload" => |client| client.upload("text/plain", "x".into());
    "get_payload" => |client| client.payload(PayloadId::new());
    "get_payload" => |client| async move { client.open_payload(PayloadId::new()).await };
    "get_payload" => |client| async move { client.resume_payload(PayloadId::new(), 5, &etag()).await };
    "get_payload" => |client| async move { client.open_payload_if_changed(PayloadId::new(), &etag()).await };
    "get_product_config" => |client| client.product_config();
    "get_product_config" => |client| client.product_config_if_changed(Some(&etag()));
    "submit_job" => |client| client.submit(&job()).idempotency_key(key());
    "submit_jobs" => |client| client.submit_batch(&JobBatchRequest { jobs: vec![job()] }).idempotency_key(key());
    "list_jobs" => |client| client.jobs(&jobs()).limit(7).cursor("c");
    "get_job" => |client| client.wait_for_job(JobId::new(), Duration::from_secs(1));
    "cancel_job" => |client| client.cancel_job(JobId::new());
    "list_events" => |client| async move { client.events(&events()).await };
    "list_events" => |client| async move {
        client.event_stream(Some(EventId::at(1, 1)), EventFilter::default()).next().await
    };
    "take_webhook" => |client| async move {
        client.send_webhook(&name(), None, HeaderMap::new(), "{}".into()).await
    };
    "take_webhook_by_route" => |client| async move {
        client.send_webhook(&name(), Some(&name()), HeaderMap::new(), "{}".into()).await
    };
    "get_keys" => |client| client.keys();

    "list_connector_kinds" => |client| client.connector_kinds();
    "list_install_audit" => |client| client.audit().limit(7).cursor("c");
    "verify_install_audit" => |client| client.verify_audit();
    "list_workspaces" => |client| client.workspaces().limit(7).cursor("c");
    "create_workspace" => |client| async move {
        client.create_workspace(&WorkspaceRequest { name: id(), template: Some("dev".to_owned()) }).await
    };
    "get_workspace" => |client| async move { workspace(&client).get().await };
    "delete_workspace" => |client| async move { workspace(&client).delete("gone").await };
    "suspend_workspace" => |client| async move { workspace(&client).suspend("pause").await };
    "resume_workspace" => |client| async move { workspace(&client).resume("on").await };
    "get_active_config" => |client| async move { workspace(&client).config_if_changed(&etag()).await };
    "list_configs" => |client| workspace(&client).config_versions().limit(7).cursor("c");
    "create_config" => |client| workspace(&client).add_config(&config()).if_match(&etag()).take_routes();
    "get_config" => |client| async move { workspace(&client).config_version(3).await };
    "diff_configs" => |client| async move { workspace(&client).diff_configs(1, 3).await };
    "activate_config" => |client| workspace(&client).activate_config(3, "now").if_match(&etag()).take_routes();
    "rollback_config" => |client| workspace(&client).rollback_config("back").if_match(&etag()).take_routes();
    "put_policy" => |client| workspace(&client).put(&name(), &Policy::default()).if_match(&etag()).take_routes();
    "delete_policy" => |client| workspace(&client).remove::<Policy>(&name()).if_match(&etag()).take_routes();
    "put_connector" => |client| workspace(&client).put(&name(), &connector()).if_match(&etag()).take_routes();
    "delete_connector" => |client| workspace(&client).remove::<ConnectorConfig>(&name()).if_match(&etag()).take_routes();
    "list_operations" => |client| workspace(&client).operations(&name());
    "check_connector" => |client| async move { workspace(&client).check_connector(&name()).await };
    "put_secret_ref" => |client| workspace(&client).put(&name(), &secret_ref()).if_match(&etag()).take_routes();
    "delete_secret_ref" => |client| workspace(&client).remove::<SecretRef>(&name()).if_match(&etag()).take_routes();
    "put_callback" => |client| workspace(&client).put(&name(), &callback()).if_match(&etag()).take_routes();
    "delete_callback" => |client| workspace(&client).remove::<CallbackConfig>(&name()).if_match(&etag()).take_routes();
    "put_webhook_route" => |client| workspace(&client).put(&name(), &route()).if_match(&etag()).take_routes();
    "delete_webhook_route" => |client| {
        workspace(&client).remove::<WebhookRouteConfig>(&name()).if_match(&etag()).take_routes()
    };
    "export_bundle" => |client| async move { workspace(&client).export_bundle().await };
    "import_bundle" => |client| async move { workspace(&client).import_bundle(&bundle(), true).await };
    "import_bundle" => |client| async move {
        let document = serde_json::to_value(bundle()).unwrap();
        workspace(&client).apply_bundle(&document, true, Some(etag().as_str())).await
    };
    "bundle_schema" => |client| async move { client.bundle_schema().await };
    "list_secrets" => |client| workspace(&client).secrets();
    "write_secret" => |client| async move { workspace(&client).put_secret(&name(), &secret()).await };
    "rotate_secret" => |client| async move { workspace(&client).rotate_secret(&name(), &secret()).await };
    "rotate_secret" => |client| async move {
        let request = RotateSecretRequest { value: "v".to_owned(), overlap_s: Some(60) };
        workspace(&client).rotate_secret_over(&name(), &request).await
    };
    "list_install_keys" => |client| client.install_keys();
    "rotate_install_key" => |client| async move {
        client.rotate_install_key(&RotateKekRequest { reason: "yearly".to_owned(), generate: true }).await
    };
    "list_operators" => |client| workspace(&client).operators();
    "get_operator" => |client| async move { workspace(&client).operator("a b").await };
    "put_operator" => |client| async move { workspace(&client).put_operator("a b", Role::Support).await };
    "delete_operator" => |client| async move { workspace(&client).delete_operator("a b").await };
    "list_identities" => |client| workspace(&client).identities();
    "create_identity" => |client| async move { workspace(&client).create_identity(&identity()).await };
    "delete_identity" => |client| async move { workspace(&client).delete_identity(&"svc:a".parse().unwrap()).await };
    "list_dead_letters" => |client| workspace(&client).dlq_matching(&dead()).limit(7).cursor("c");
    "replay_dead_letters" => |client| async move { workspace(&client).replay_dlq(&letters()).await };
    "purge_dead_letters" => |client| async move { workspace(&client).purge_dlq(&letters()).await };
    "list_audit" => |client| workspace(&client).audit().limit(7).cursor("c");
    "verify_audit" => |client| async move { workspace(&client).verify_audit().await };
    "list_requests" => |client| workspace(&client).requests_of("exe_1").limit(7).cursor("c");
    "list_inbox" => |client| workspace(&client).inbox().limit(7).cursor("c");
    "get_inbox_entry" => |client| async move { workspace(&client).inbox_entry(InboxId::new()).await };
    "replay_inbox_entry" => |client| async move { workspace(&client).replay_inbox_entry(InboxId::new(), "again").await };
};

/// Parameters that no method sends, and why.
const NOT_SENT: &[(&str, &str)] = &[("list_events", "cursor")]; // another name of `after`

/// Asks for everything in the table; gives what was sent.
async fn sent() -> Vec<(&'static str, Vec<Sent>)> {
    let mut all = Vec::new();
    for (operation, ask) in TABLE {
        let (client, seen) = recording();
        ask(client).await;
        all.push((*operation, seen.lock().unwrap().clone()));
    }
    let (client, seen) = recording_builder();
    let _ = client.client_credentials("svc:a", "secret").build().unwrap().product_config().await;
    let taken: Vec<_> = seen.lock().unwrap().iter().filter(|sent| sent.operation == "get_token").cloned().collect();
    all.push(("get_token", taken));
    all
}

#[tokio::test]
async fn every_route_of_the_contract_has_a_method_that_asks_for_it() {
    let sent = sent().await;
    let operations = operations();
    for (expected, requests) in &sent {
        let operation = operations.iter().find(|operation| operation.id == *expected);
        let operation = operation.unwrap_or_else(|| panic!("the contract has no `{expected}`: take its row away"));
        assert!(!requests.is_empty(), "{expected}: nothing was asked");
        for request in requests {
            assert_eq!(request.operation, *expected);
            assert_eq!(request.method, operation.method, "{expected}");
            assert!(operation.is_at(&request.path), "{expected} is at {}, not {}", operation.path, request.path);
        }
    }
    let covered: BTreeSet<&str> = sent.iter().map(|(operation, _)| *operation).collect();
    let missing: Vec<_> = operations.iter().filter(|operation| !covered.contains(operation.id.as_str())).collect();
    let missing: Vec<_> = missing.iter().map(|each| format!("{} {} ({})", each.method, each.path, each.id)).collect();
    assert!(missing.is_empty(), "the client has no method for: {missing:#?}");
}

#[tokio::test]
async fn every_parameter_of_the_contract_can_be_sent_and_no_other_is() {
    let sent = sent().await;
    for operation in operations() {
        let requests: Vec<_> = sent.iter().filter(|(id, _)| *id == operation.id).flat_map(|(_, sent)| sent).collect();
        let given: BTreeSet<String> = requests.iter().flat_map(|sent| sent.query.keys().cloned()).collect();
        let told = operation.parameters("query");
        assert!(given.is_subset(&told), "{}: {given:?} beyond {told:?}", operation.id);
        let left_out = |name: &&String| NOT_SENT.contains(&(operation.id.as_str(), name.as_str()));
        let missing: Vec<_> = told.difference(&given).filter(|name| !left_out(name)).collect();
        assert!(missing.is_empty(), "{}: nothing sends {missing:?}", operation.id);
        for header in operation.parameters("header") {
            // Sent by a stream that resumes: `a_stream_resumes_after_the_last_event_when_it_is_cut`.
            let given = header == "last-event-id" || requests.iter().any(|sent| sent.headers.contains_key(&header));
            assert!(given, "{}: nothing sends the header {header}", operation.id);
        }
    }
}

#[tokio::test]
async fn what_is_sent_is_what_the_contract_takes() {
    let sent = sent().await;
    for operation in operations() {
        for request in sent.iter().filter(|(id, _)| *id == operation.id).flat_map(|(_, sent)| sent) {
            let told = operation.body_types();
            assert_eq!(told.is_empty(), request.body.is_empty(), "{}", operation.id);
            let Some(validator) = operation.body() else { continue };
            if operation.tag() == "webhooks" {
                continue; // Whatever the provider sends.
            }
            assert_eq!(request.headers["content-type"], "application/json", "{}", operation.id);
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(problems(&validator, &body), Vec::<String>::new(), "{}: {body}", operation.id);
        }
    }
}

#[tokio::test]
async fn a_key_is_proved_by_an_assertion_that_the_server_believes_once() {
    const PEM: &str = include_str!("p256.pem");
    const AUDIENCE: &str = "orchestrator-dev";
    let (builder, seen) = recording_builder();
    let key = ClientKey::es256(PEM.as_bytes()).unwrap().with_key_id("k1");
    assert!(!format!("{key:?}").contains("PRIVATE"), "{key:?}");
    let _ = builder.private_key_jwt("svc:a", AUDIENCE, key.clone()).build().unwrap().product_config().await;
    let seen = seen.lock().unwrap();
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&seen[0].body).into_owned().collect();
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert!(!form.contains_key("client_secret"));

    // The server's own verifier, with the public half.
    let public = json!({
        "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
        "x": "Ky2O4IYfsomt-pX2XkR_-Srw9U9hArhrMwrszQ1BHw4", "y": "Di4GbV2uo9L2OaszKrYW4Y8cF7tKhwIovzTyFh7hKS4",
    });
    let assertion = Assertion::read(&form["client_assertion"]).unwrap();
    assert_eq!(assertion.client_id(), "svc:a");
    let (verifier, now) = (AssertionVerifier::default(), Timestamp::from(chrono::Utc::now()));
    assert!(verifier.verify(&assertion, &public, &["orchestrator-prod"], now).is_err());
    verifier.verify(&assertion, &public, &[AUDIENCE], now).unwrap();
    assert!(verifier.verify(&assertion, &public, &[AUDIENCE], now).is_err(), "good for one use");

    assert!(ClientKey::es256(b"no key").is_err() && ClientKey::rs256(PEM.as_bytes()).is_err());
    assert!(ClientCredentials::with_key("ftp://x", "svc:a", AUDIENCE, key).is_err());
}

fn recording() -> (Client, Arc<Mutex<Vec<Sent>>>) {
    let (builder, seen) = recording_builder();
    (builder.token("x").build().unwrap(), seen)
}

/// A client whose requests go nowhere but into the list.
fn recording_builder() -> (orchestrator_client::ClientBuilder, Arc<Mutex<Vec<Sent>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let journal = Arc::clone(&seen);
    let layer = layer_fn(move |_| {
        let journal = Arc::clone(&journal);
        service_fn(move |request: http::Request<Body>| {
            let query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
            journal.lock().unwrap().push(Sent {
                operation: request.extensions().get::<Operation>().unwrap().0,
                method: request.method().to_string(),
                path: request.uri().path().to_owned(),
                query: query.into_owned().collect(),
                headers: request.headers().clone(),
                body: request.body().as_bytes().unwrap().to_vec(),
            });
            async { Ok::<_, BoxError>(http::Response::new(Body::from(bytes::Bytes::from_static(b"null")))) }
        })
    });
    (Client::builder("http://nowhere.invalid").retry(Retry::never()).layer(layer), seen)
}

fn workspace(client: &Client) -> Workspace {
    client.workspace(&id())
}

fn id() -> WorkspaceId {
    "buildos-dev".parse().unwrap()
}

fn name() -> Name {
    "stripe".parse().unwrap()
}

fn key() -> IdempotencyKey {
    "order-7".parse().unwrap()
}

fn etag() -> ETag {
    ETag::new("\"3-1\"")
}

fn call() -> ExecuteRequest {
    ExecuteRequest { connector: name(), operation: "request".to_owned(), input: json!({"a": 1}), timeout_ms: Some(5) }
}

fn job() -> JobRequest {
    JobRequest {
        connector: name(),
        operation: "request".to_owned(),
        input: json!({"a": 1}),
        timeout_ms: Some(5),
        run_at: Some(Timestamp::from_unix_ms(1)),
        delay_ms: None,
        priority: Some(9),
        callback: Some(name()),
        ordering_key: Some("k".to_owned()),
        max_attempts: Some(2),
        metadata: [("order".to_owned(), "7".to_owned())].into(),
    }
}

fn jobs() -> JobFilter {
    JobFilter { status: Some(JobStatus::Dead), connector: Some(name()) }
}

fn events() -> EventQuery {
    EventQuery {
        after: Some(EventId::at(1, 1)),
        kinds: vec![EventType::JobDead],
        subject: Some("job_1".to_owned()),
        trace_id: Some(TraceId::from_bits(7)),
        wait: Some(Duration::from_millis(5)),
        limit: Some(3),
    }
}

fn config() -> ConfigRequest {
    ConfigRequest { config: WorkspaceConfig::default(), message: "first".to_owned(), activate: Some(false) }
}

fn connector() -> ConnectorConfig {
    serde_json::from_value(json!({"kind": "http", "settings": {"base_url": "https://x"}, "secrets": {"bearer": "t"}}))
        .unwrap()
}

fn secret_ref() -> SecretRef {
    serde_json::from_value(json!({"source": "env", "key": "BUILDOS_DEV_TOKEN"})).unwrap()
}

fn callback() -> CallbackConfig {
    serde_json::from_value(json!({"url": "https://x", "signing_secret": "cb"})).unwrap()
}

fn route() -> WebhookRouteConfig {
    serde_json::from_value(json!({"provider": "stripe", "account": "acct_1", "signing_secret": "s"})).unwrap()
}

fn bundle() -> Bundle {
    Bundle { format: 1, workspace: id(), config: WorkspaceConfig::default(), operators: None }
}

fn secret() -> SecretRequest {
    SecretRequest { value: "whsec_x".to_owned() }
}

fn identity() -> IdentityRequest {
    IdentityRequest {
        name: "svc:a".parse().unwrap(),
        scopes: vec!["orchestrator.execute".to_owned()],
        public_key: None,
    }
}

fn dead() -> DlqFilter {
    DlqFilter {
        connector: Some(name()),
        callback: Some(name()),
        died_before: Some(Timestamp::from_unix_ms(9)),
        died_after: Some(Timestamp::from_unix_ms(1)),
    }
}

fn letters() -> DlqRequest {
    DlqRequest { ids: Some(vec![JobId::new()]), filter: None, reason: "mended".to_owned() }
}
