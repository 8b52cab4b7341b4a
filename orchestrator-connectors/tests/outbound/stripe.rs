//! The `stripe` kind: what it sends, what it understands, and the whole against `localstripe`.

use std::sync::Arc;

use orchestrator_conformance::servers::{Program, PythonServer};
use orchestrator_connectors::EgressClient;
use orchestrator_core::connector::{CallErrorKind, Connector, HealthCheck, Idempotency, PlanError, SecretSlots, Sent};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::kit::{build_as, context, filled, invalid, pointers, registry};
use crate::upstream::{Seen, Upstream, allowing, answer, client};

const JSON: &str = "Content-Type: application/json\r\nRequest-Id: req_1\r\n";

fn stripe(settings: &Value) -> Arc<dyn Connector> {
    build_as("stripe", client(), settings, filled(&[("api_key", "sk_test_canary0123456789")])).unwrap()
}

async fn call(connector: &Arc<dyn Connector>, operation: &str, input: Value) -> Value {
    let outcome = connector.call(&context(), operation, &input).await;
    outcome.unwrap_or_else(|failed| panic!("{operation}: {failed:?}"))["body"].clone()
}

#[tokio::test]
async fn a_call_goes_out_in_the_apis_own_form() {
    let upstream = Upstream::answering(answer(200, JSON, r#"{"id":"pi_1"}"#)).await;
    let connector = stripe(&json!({"base_url": upstream.url(""), "version": "2025-03-31.basil"}));
    let input =
        json!({"params": {"amount": 500, "currency": "eur", "metadata": {"order": "7"}, "expand": ["customer"]}});
    let output = connector.call(&context(), "payment_intents.create", &input).await.unwrap();
    assert_eq!(output, json!({"status": 200, "request_id": "req_1", "replayed": false, "body": {"id": "pi_1"}}));
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/payment_intents"));
    let mut fields: Vec<_> = std::str::from_utf8(&seen.body).unwrap().split('&').collect();
    fields.sort_unstable();
    assert_eq!(fields, ["amount=500", "currency=eur", "expand%5B0%5D=customer", "metadata%5Border%5D=7"]);
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.header("authorization"), Some("Bearer sk_test_canary0123456789"));
    assert_eq!(seen.header("stripe-version"), Some("2025-03-31.basil"));
    assert_eq!((seen.header("idempotency-key"), seen.header("stripe-account")), (Some("exe_1"), None));
    assert!(seen.header("traceparent").is_some());
}

#[tokio::test]
async fn keys_and_accounts_are_the_inputs_or_those_of_the_call_and_the_settings() {
    let upstream = Upstream::answering(answer(200, JSON, "{}")).await;
    let connector = stripe(&json!({"base_url": upstream.url(""), "account": "acct_default"}));
    let capture = json!({"id": "pi_1", "idempotency_key": "order-7", "account": "acct_other"});
    call(&connector, "payment_intents.capture", capture).await;
    let seen = upstream.last();
    assert_eq!(
        (seen.target.as_str(), seen.header("idempotency-key")),
        ("/v1/payment_intents/pi_1/capture", Some("order-7"))
    );
    assert_eq!(seen.header("stripe-account"), Some("acct_other"));
    call(&connector, "charges.list", json!({"params": {"customer": "cus_1", "created": {"gte": 5}}})).await;
    let seen = upstream.last();
    assert_eq!((seen.header("stripe-account"), seen.header("idempotency-key")), (Some("acct_default"), None));
    assert_eq!((seen.target.as_str(), seen.body.len()), ("/v1/charges?created%5Bgte%5D=5&customer=cus_1", 0));
    call(&connector, "subscriptions.cancel", json!({"id": "sub_1", "params": {"prorate": true}})).await;
    assert_eq!(
        (upstream.last().method.as_str(), upstream.last().target.as_str()),
        ("DELETE", "/v1/subscriptions/sub_1?prorate=true")
    );
    call(&connector, "request", json!({"method": "POST", "path": "/v2/core/events", "params": {"a": [1]}})).await;
    assert_eq!(
        (&upstream.last().body[..], upstream.last().header("content-type")),
        (&b"{\"a\":[1]}"[..], Some("application/json"))
    );
}

#[test]
fn each_operation_tells_that_it_may_be_repeated_and_how() {
    let views = registry(client()).views();
    let stripe = views.iter().find(|view| view.kind.as_str() == "stripe").unwrap();
    let of = |name: &str| stripe.operations.iter().find(|known| known.name == name).unwrap().idempotency;
    assert_eq!(of("refunds.create"), Idempotency::ByKey);
    assert_eq!(of("refunds.retrieve"), Idempotency::Always);
    assert!(stripe.operations.len() > 40);
    assert_eq!(
        stripe.secret_slots.iter().map(orchestrator_types::Name::as_str).collect::<Vec<_>>(),
        ["api_key", "proxy"]
    );
}

#[test]
fn inputs_that_the_api_would_not_take_are_refused_with_pointers() {
    let connector = stripe(&json!({}));
    for (operation, input, pointer) in [
        ("payment_intents.create", json!({"params": {"currency": "eur"}}), "/params/amount"),
        ("payment_intents.create", json!({"params": {"amount": "x", "currency": "eur"}}), "/params/amount"),
        ("payment_intents.capture", json!({"id": "pi_1/../../x"}), "/id"),
        ("payment_intents.capture", json!({}), "/id"),
        ("customers.list", json!({"idempotency_key": "k"}), "/idempotency_key"),
        ("customers.create", json!({"account": "cus_1"}), "/account"),
        ("customers.create", json!({"amount": 1}), "/amount"),
        ("request", json!({"method": "GET", "path": "/v3/x"}), "/path"),
        ("request", json!({"method": "GET", "path": "/v1/../x"}), "/path"),
        ("request", json!({"method": "PUT", "path": "/v1/x"}), "/method"),
        ("request", json!({"method": "POST", "path": "/v1/x", "max_pages": 2}), "/max_pages"),
        ("request", json!({"method": "GET", "path": "/v1/x", "idempotency_key": "a b"}), "/idempotency_key"),
    ] {
        let problems = invalid(connector.plan(operation, &input));
        assert!(pointers(&problems).contains(&pointer), "{operation} {input}: {problems:?}");
    }
    assert_eq!(connector.plan("nothing.create", &json!({})), Err(PlanError::OperationNotFound));
    for (settings, pointer) in [
        (json!({"version": "latest"}), "/version"),
        (json!({"account": "1"}), "/account"),
        (json!({"base_url": "https://k@api.stripe.com"}), "/base_url"),
        (json!({"api_key": "sk_live_1"}), ""),
    ] {
        let problems = build_as("stripe", client(), &settings, SecretSlots::default()).err().unwrap();
        assert!(pointers(&problems).contains(&pointer), "{settings}: {problems:?}");
    }
}

#[tokio::test]
async fn a_list_is_read_by_its_last_items() {
    let upstream = Upstream::serving(|seen: Seen, mut socket| {
        let told = match seen.target.split_once("starting_after=") {
            None => answer(200, JSON, r#"{"object":"list","data":[{"id":"a"},{"id":"b"}],"has_more":true}"#),
            Some((_, "b")) => answer(200, JSON, r#"{"object":"list","data":[{"id":"c"}],"has_more":false}"#),
            Some(_) => answer(400, JSON, "{}"),
        };
        async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
    })
    .await;
    let connector = stripe(&json!({"base_url": upstream.url("")}));
    let input = json!({"params": {"limit": 2}, "max_pages": 10});
    let output = connector.call(&context(), "customers.list", &input).await.unwrap();
    assert_eq!(output["body"], json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]));
    assert_eq!(output["paging"], json!({"pages": 2, "complete": true}));
    assert_eq!(upstream.last().target, "/v1/customers?limit=2&starting_after=b");
    let one =
        connector.call(&context(), "customers.list", &json!({"params": {"limit": 2}, "max_pages": 1})).await.unwrap();
    assert_eq!(one["paging"], json!({"pages": 1, "complete": false, "next": "b"}));
}

#[tokio::test]
async fn inv_26_the_api_inside_is_not_connected_to() {
    let closed = EgressClient::new(allowing(&[])).unwrap();
    for base in ["http://127.0.0.1:1", "http://localhost:1", "http://169.254.169.254"] {
        let settings = json!({"base_url": base});
        let connector = build_as("stripe", closed.clone(), &settings, filled(&[("api_key", "sk_test_1")])).unwrap();
        let refused = connector.call(&context(), "balance.retrieve", &json!({})).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{base}");
    }
}

#[tokio::test]
async fn a_key_that_may_not_see_the_balance_passes_the_check_and_a_wrong_one_does_not() {
    for (status, passes) in [(200, true), (403, true), (401, false), (500, false)] {
        let upstream = Upstream::answering(answer(status, JSON, "{}")).await;
        let health = stripe(&json!({"base_url": upstream.url("")})).health(&context()).await;
        assert_eq!(health.is_ok_and(|health| health == HealthCheck::Passed), passes, "{status}");
        assert_eq!(upstream.last().target, "/v1/balance");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_payments_and_refunds_go_their_way_at_localstripe() {
    let server = localstripe();
    let connector = stripe(&json!({"base_url": server.url("")}));
    assert_eq!(connector.health(&context()).await.unwrap(), HealthCheck::Passed);

    let metadata = json!({"order": "7", "note": "caf\u{e9} & co"});
    let customer =
        call(&connector, "customers.create", json!({"params": {"email": "a@b.example", "metadata": metadata}})).await;
    let id = customer["id"].as_str().unwrap();
    assert_eq!((&customer["email"], &customer["metadata"]), (&json!("a@b.example"), &metadata));
    let changed = call(&connector, "customers.update", json!({"id": id, "params": {"name": "Ada"}})).await;
    assert_eq!((&changed["name"], &changed["metadata"]), (&json!("Ada"), &metadata));
    assert_eq!(call(&connector, "customers.retrieve", json!({"id": id})).await["name"], "Ada");

    let card = json!({"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}});
    let method =
        call(&connector, "request", json!({"method": "POST", "path": "/v1/payment_methods", "params": card})).await;
    let method = method["id"].as_str().unwrap();
    let attach =
        json!({"method": "POST", "path": format!("/v1/payment_methods/{method}/attach"), "params": {"customer": id}});
    assert_eq!(call(&connector, "request", attach).await["customer"], id);

    let pay = json!({"params": {
        "amount": 500, "currency": "eur", "customer": id, "payment_method": method, "capture_method": "manual",
    }});
    let intent = call(&connector, "payment_intents.create", pay.clone()).await;
    let intent = intent["id"].as_str().unwrap();
    let confirmed = call(&connector, "payment_intents.confirm", json!({"id": intent})).await;
    assert_eq!(confirmed["status"], "requires_capture", "{confirmed}");
    let captured = call(&connector, "payment_intents.capture", json!({"id": intent})).await;
    assert_eq!(captured["status"], "succeeded", "{captured}");
    let charges = call(&connector, "charges.list", json!({"params": {"customer": id}})).await;
    let charge = charges["data"][0]["id"].as_str().unwrap();
    assert_eq!(call(&connector, "charges.retrieve", json!({"id": charge})).await["amount"], 500);
    let refund = call(&connector, "refunds.create", json!({"params": {"payment_intent": intent, "amount": 200}})).await;
    assert_eq!((&refund["amount"], &refund["status"]), (&json!(200), &json!("succeeded")));
    let again = call(&connector, "payment_intents.create", pay).await;
    let cancelled = call(&connector, "payment_intents.cancel", json!({"id": again["id"]})).await;
    assert_eq!(cancelled["status"], "canceled");
    assert_eq!(call(&connector, "customers.delete", json!({"id": id})).await["deleted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogue_subscriptions_and_lists_go_their_way_at_localstripe() {
    let server = localstripe();
    let connector = stripe(&json!({"base_url": server.url("")}));
    for number in 0..7 {
        let params = json!({"name": format!("Product {number}"), "type": "service"});
        call(&connector, "products.create", json!({"params": params})).await;
    }
    let list = json!({"params": {"limit": 3}, "max_pages": 10});
    let output = connector.call(&context(), "products.list", &list).await.unwrap();
    assert_eq!(
        (output["body"].as_array().unwrap().len(), &output["paging"]),
        (7, &json!({"pages": 3, "complete": true}))
    );

    let product = output["body"][0]["id"].as_str().unwrap();
    assert_eq!(
        call(&connector, "products.update", json!({"id": product, "params": {"name": "New"}})).await["name"],
        "New"
    );
    let plan = json!({"id": "gold", "amount": 900, "currency": "eur", "interval": "month", "product": product});
    call(&connector, "request", json!({"method": "POST", "path": "/v1/plans", "params": plan})).await;
    let customer = call(&connector, "customers.create", json!({"params": {"email": "a@b.example"}})).await;
    let id = customer["id"].as_str().unwrap();
    let card = json!({"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}});
    let method =
        call(&connector, "request", json!({"method": "POST", "path": "/v1/payment_methods", "params": card})).await;
    let method = method["id"].as_str().unwrap();
    let attach =
        json!({"method": "POST", "path": format!("/v1/payment_methods/{method}/attach"), "params": {"customer": id}});
    call(&connector, "request", attach).await;
    let default = json!({"id": id, "params": {"invoice_settings": {"default_payment_method": method}}});
    call(&connector, "customers.update", default).await;
    let begin = json!({"params": {
        "customer": id, "items": [{"plan": "gold", "quantity": 2}], "expand": ["latest_invoice"],
    }});
    let subscription = call(&connector, "subscriptions.create", begin).await;
    assert_eq!((&subscription["status"], &subscription["items"]["data"][0]["quantity"]), (&json!("active"), &json!(2)));
    let invoice = subscription["latest_invoice"]["id"].as_str().unwrap();
    assert_eq!(call(&connector, "invoices.retrieve", json!({"id": invoice})).await["amount_due"], 1800);
    let invoices = call(&connector, "invoices.list", json!({"params": {"customer": id}, "max_pages": 2})).await;
    assert_eq!(invoices.as_array().unwrap().len(), 1);
    let ended = call(&connector, "subscriptions.cancel", json!({"id": subscription["id"]})).await;
    assert_eq!(ended["status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_localstripe_refuses_is_final_and_a_wrong_key_is_told() {
    let server = localstripe();
    let settings = json!({"base_url": server.url("")});
    let connector = stripe(&settings);
    let missing = connector.call(&context(), "customers.retrieve", &json!({"id": "cus_none"})).await.unwrap_err();
    assert_eq!((missing.kind, missing.sent), (CallErrorKind::Rejected, Sent::Maybe));
    assert!(missing.detail.contains("404") && missing.detail.contains("invalid_request_error"), "{missing:?}");
    let card = json!({"type": "card", "card": {"number": "4000000000000002", "exp_month": 12, "exp_year": 2040, "cvc": "123"}});
    let method =
        call(&connector, "request", json!({"method": "POST", "path": "/v1/payment_methods", "params": card})).await;
    let pay = json!({"params": {"amount": 5, "currency": "eur", "payment_method": method["id"], "confirm": true}});
    // This server keeps the decline in the payment; whether it also fails the call is its own affair.
    if let Err(declined) = connector.call(&context(), "payment_intents.create", &pay).await {
        assert_eq!(declined.kind, CallErrorKind::Rejected, "{declined:?}");
    }
    let wrong = build_as("stripe", client(), &settings, filled(&[("api_key", "pk_test_not_secret")])).unwrap();
    let refused = wrong.call(&context(), "balance.retrieve", &json!({})).await.unwrap_err();
    assert_eq!((refused.kind, refused.upstream.unwrap().status), (CallErrorKind::Rejected, 401));
    assert!(wrong.health(&context()).await.is_err());
}

fn localstripe() -> PythonServer {
    PythonServer::start(
        &["localstripe==1.15.10"],
        Program::Module("localstripe"),
        &["--port", "{port}", "--from-scratch"],
    )
}
