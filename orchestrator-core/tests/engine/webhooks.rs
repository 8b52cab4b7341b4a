//! The ingress: whose an event is, that it is proven, and that it is taken in once; and the inbox.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use orchestrator_core::clock::Clock;
use orchestrator_core::types::{EventType, InboxStatus, TraceId, WebhookAccepted};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::{Error, Orchestrator};
use serde_json::{Value, json};

use crate::fixture::{CB, World, admin, because, config, signed, stripe, workspace};

fn accepted(ingress: Result<Ingress, Error>) -> WebhookAccepted {
    match ingress.unwrap() {
        Ingress::Accepted(accepted) => accepted,
        Ingress::Challenge(_) => panic!("no challenge"),
    }
}

fn refused(ingress: Result<Ingress, Error>) -> (String, u16) {
    let error = ingress.unwrap_err();
    (error.code().to_owned(), error.status())
}

fn unauthorised() -> (String, u16) {
    ("signature_invalid".to_owned(), 401)
}

fn event(id: &str) -> Value {
    json!({"id": id, "type": "invoice.paid", "account": "acct_shop", "amount": 1.10})
}

fn routes(of: &str) -> Value {
    json!({
        "main": {"provider": "stripe", "account": format!("acct_{of}"), "signing_secret": "whsec"},
        "keyed": {"provider": "stripe", "route_key": format!("key-{of}"), "signing_secret": "whsec"},
        "rest": {"provider": "stripe", "default": true, "signing_secret": "whsec"},
    })
}

async fn world() -> World {
    World::with(None, config("shop-dev", json!({"webhook_routes": routes("shop")}))).await
}

#[tokio::test(start_paused = true)]
async fn a_verified_event_is_taken_in_with_everything_about_it() {
    let world = world().await;
    let taken = accepted(world.webhook(&event("evt_1")).await);
    assert!(!taken.duplicate);
    let entry = world.engine.inbox().get(&world.shop, taken.id).await.unwrap();
    assert_eq!((entry.provider.as_str(), entry.route.as_str(), entry.event_id.as_str()), ("stripe", "main", "evt_1"));
    assert_eq!((entry.account.as_deref(), entry.event_type.as_deref()), (Some("acct_shop"), Some("invoice.paid")));
    assert_eq!((entry.status, entry.job, entry.payload), (InboxStatus::Received, None, Some(event("evt_1"))));
    assert_eq!(entry.headers.unwrap()["stripe-signature"], "[redacted]");
    let told = world.events(&[EventType::WebhookReceived]).await;
    assert_eq!((told.len(), &told[0].subject), (1, &taken.id.to_string()));
    let listed = world.engine.inbox().list(&world.shop, None, 10).await.unwrap();
    assert_eq!((listed.items.len(), &listed.items[0].payload, &listed.items[0].headers), (1, &None, &None));
}

#[tokio::test(start_paused = true)]
async fn a_route_is_found_by_key_by_account_or_by_secret() {
    let world = world().await;
    let now = world.install.clock.now();
    let secret = "whsec_of_shop-dev";
    let nameless = json!({"id": "evt_2", "type": "payout.paid"});
    for (key, body, route) in
        [(None, event("evt_1"), "main"), (Some("key-shop"), event("evt_3"), "keyed"), (None, nameless.clone(), "rest")]
    {
        let taken = accepted(stripe(&world.engine, key, &body, secret, now).await);
        assert_eq!(world.engine.inbox().get(&world.shop, taken.id).await.unwrap().route.as_str(), route);
    }
    let not_found = ("route_not_found".to_owned(), 404);
    let other = json!({"id": "evt_4", "account": "acct_other"});
    assert_eq!(refused(stripe(&world.engine, None, &other, secret, now).await), not_found);
    assert_eq!(refused(stripe(&world.engine, Some("key-none"), &nameless, secret, now).await), not_found);
    assert_eq!(refused(stripe(&world.engine, Some("Not a name"), &nameless, secret, now).await), not_found);
    let ingest = world.engine.webhooks().ingest("nobody", None, &HeaderMap::new(), Bytes::new(), TraceId::new()).await;
    assert_eq!(refused(ingest), not_found);
}

#[tokio::test(start_paused = true)]
async fn inv_42_a_forged_stale_or_early_signature_is_refused_in_one_wording() {
    let world = world().await;
    let now = world.install.clock.now();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let (body, secret) = (event("evt_1"), "whsec_of_shop-dev");
    let forged = stripe(&world.engine, None, &body, "whsec_of_nobody", now).await;
    let stale = stripe(&world.engine, None, &body, secret, now.before(minutes(6))).await;
    let early = stripe(&world.engine, None, &body, secret, now.after(minutes(6))).await;
    let bytes = Bytes::from(serde_json::to_vec(&body).unwrap());
    let headers = signed("stripe", b"other bytes", secret, now);
    let other = world.engine.webhooks().ingest("stripe", None, &headers, bytes.clone(), TraceId::new()).await;
    let none = world.engine.webhooks().ingest("stripe", None, &HeaderMap::new(), bytes, TraceId::new()).await;
    let wordings: Vec<_> = [forged, stale, early, other, none].map(|one| one.unwrap_err().to_string()).to_vec();
    assert!(wordings.iter().all(|wording| *wording == wordings[0]), "{wordings:?}");
    assert!(world.engine.inbox().list(&world.shop, None, 10).await.unwrap().items.is_empty());
    let told = world.events(&[]).await;
    let told: Vec<_> = told.iter().filter(|event| event.kind == EventType::WebhookRejected).collect();
    assert_eq!((told.len(), &told[0].data["code"]), (1, &json!("signature_invalid")), "the first at once");
    tokio::time::sleep(Duration::from_secs(66)).await;
    let told = world.events(&[EventType::WebhookRejected]).await;
    assert_eq!((told.len(), &told[1].data["count"]), (2, &json!(4)), "and the others in one summary");
}

#[tokio::test(start_paused = true)]
async fn inv_07_the_same_event_makes_one_entry_however_often_it_comes() {
    let world = world().await;
    let second = world.install.node().await;
    let now = world.install.clock.now();
    let body = event("evt_1");
    let all = futures_util::future::join_all((0..1_000).map(|at| {
        let node: &Orchestrator = if at % 2 == 0 { &world.engine } else { &second };
        stripe(node, None, &body, "whsec_of_shop-dev", now)
    }))
    .await;
    let all: Vec<_> = all.into_iter().map(accepted).collect();
    assert_eq!(all.iter().filter(|one| !one.duplicate).count(), 1);
    assert!(all.iter().all(|one| one.id == all[0].id));
    assert_eq!(world.engine.inbox().get(&world.shop, all[0].id).await.unwrap().duplicates, 999);
    assert_eq!(world.events(&[EventType::WebhookReceived]).await.len(), 1);
    let told = world.events(&[EventType::WebhookDuplicate]).await;
    assert_eq!((told.len(), &told[0].data["conflict"]), (2, &json!(false)), "one of each node");
    let mut changed = body;
    changed["amount"] = json!(1_000);
    assert!(accepted(world.webhook(&changed).await).duplicate);
    let told = world.events(&[EventType::WebhookDuplicate]).await;
    assert_eq!((told.len(), &told[2].data["conflict"]), (3, &json!(true)), "a conflict is told at once");
    let entry = world.engine.inbox().get(&world.shop, all[0].id).await.unwrap();
    assert_eq!(entry.payload.unwrap()["amount"], json!(1.10));
    let by_key = stripe(&world.engine, Some("key-shop"), &json!({"id": "evt_1"}), "whsec_of_shop-dev", now).await;
    assert!(!accepted(by_key).duplicate, "the same id from another sender is another event");
}

#[tokio::test(start_paused = true)]
async fn inv_17_no_event_reaches_a_workspace_whose_secret_did_not_sign_it() {
    let world = world().await;
    let mall = world.import("mall-dev", config("mall-dev", json!({"webhook_routes": routes("mall")}))).await;
    let now = world.install.clock.now();
    let mut number = 0;
    for secret in ["shop", "mall"] {
        for key in [None, Some("key-shop"), Some("key-mall")] {
            for account in [None, Some("acct_shop"), Some("acct_mall")] {
                number += 1;
                let body = json!({"id": format!("evt_{number}"), "account": account});
                let secret = format!("whsec_of_{secret}-dev");
                let sent = stripe(&world.engine, key, &body, &secret, now).await;
                // Whose route it names: by key, else by account, else by whichever default route verifies.
                let named = key.map(|key| &key[4..]).or(account.map(|account| &account[5..]));
                let owner = format!("whsec_of_{}-dev", named.unwrap_or(&secret[9..13]));
                if owner == secret {
                    let id = accepted(sent).id;
                    let (theirs, others) =
                        if secret.contains("shop") { (&world.shop, &mall) } else { (&mall, &world.shop) };
                    assert!(world.engine.inbox().get(theirs, id).await.is_ok(), "{key:?} {account:?} {secret}");
                    assert!(world.engine.inbox().get(others, id).await.is_err(), "{key:?} {account:?} {secret}");
                } else {
                    assert_eq!(refused(sent), unauthorised(), "{key:?} {account:?} {secret}");
                }
            }
        }
    }
    let count = async |of| world.engine.inbox().list(of, None, 100).await.unwrap().items.len();
    assert_eq!((count(&world.shop).await, count(&mall).await), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_had_asks_the_sender_to_come_again() {
    let world = world().await;
    world.install.env.lock().unwrap().remove("SHOP_DEV_WHSEC");
    let error = world.webhook(&event("evt_1")).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("unavailable", 503));
    world.install.set_env("SHOP_DEV_WHSEC", "whsec_of_shop-dev");
    tokio::time::sleep(error.retry_after().unwrap()).await;
    assert!(!accepted(world.webhook(&event("evt_1")).await).duplicate);
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_and_cannot_be_read_is_refused_without_a_trace_in_the_inbox() {
    let world = world().await;
    for body in
        [json!({"type": "no.id"}), json!({"id": ""}), json!({"id": {"a": 1}}), json!({"id": "x", "account": 1.5})]
    {
        let error = world.webhook(&body).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("invalid_request", 400), "{body}");
    }
    assert!(world.engine.inbox().list(&world.shop, None, 10).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_provider_finds_its_route_also_one_with_settings_of_its_own() {
    let settings = json!({"header": "x-signature", "id_pointer": "/id", "account_pointer": "/shop"});
    let hook = |provider: &str, more: Value| {
        let mut route = json!({"provider": provider, "signing_secret": "whsec"});
        crate::fixture::merge(&mut route, more);
        route
    };
    let routes = json!({
        "erp": hook("hmac", json!({"default": true, "settings": settings})),
        "sw": hook("standard-webhooks", json!({"route_key": "sw", "signing_secret": "cb"})),
    });
    let world = World::with(None, config("shop-dev", json!({"webhook_routes": routes}))).await;
    let now = world.install.clock.now();
    let body = Bytes::from_static(b"{\"id\":7,\"shop\":\"berlin\"}");
    let fixture = orchestrator_core::webhooks::signature::Fixture {
        settings: Some(&settings),
        ..orchestrator_core::webhooks::signature::Fixture::new(&body, "7")
    };
    let secret = orchestrator_core::secrets::Secret::new("whsec_of_shop-dev".to_owned());
    let hmac = orchestrator_core::webhooks::signature::provider("hmac").unwrap();
    let headers = hmac.sign(&fixture, &secret, now).unwrap();
    let taken = accepted(world.engine.webhooks().ingest("hmac", None, &headers, body, TraceId::new()).await);
    let entry = world.engine.inbox().get(&world.shop, taken.id).await.unwrap();
    assert_eq!((entry.event_id.as_str(), entry.account.as_deref()), ("7", Some("berlin")));
    let body = Bytes::from_static(b"\x00not json\xff");
    let headers = signed("standard-webhooks", &body, CB, now);
    let sent = world.engine.webhooks().ingest("standard-webhooks", Some("sw"), &headers, body, TraceId::new()).await;
    let entry = world.engine.inbox().get(&world.shop, accepted(sent).id).await.unwrap();
    assert_eq!((entry.payload, entry.payload_base64.is_some()), (None, true));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_workspace_still_takes_webhooks_and_a_deleted_one_does_not() {
    let world = world().await;
    world.engine.workspaces().suspend(&admin(), &world.shop, &because()).await.unwrap();
    accepted(world.webhook(&event("evt_1")).await);
    world.engine.workspaces().delete(&admin(), &world.shop, &because()).await.unwrap();
    assert_eq!(refused(world.webhook(&event("evt_2")).await), ("route_not_found".to_owned(), 404));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_not_heard_of_a_new_route_finds_it() {
    let world = World::idle().await;
    let other = world.install.node().await;
    other.check_served(&world.shop).await.unwrap();
    world.import("shop-dev", config("shop-dev", json!({"webhook_routes": routes("shop")}))).await;
    let now = world.install.clock.now();
    accepted(stripe(&other, None, &event("evt_1"), "whsec_of_shop-dev", now).await);
}

#[tokio::test(start_paused = true)]
async fn a_routes_connector_is_called_if_its_kind_takes_webhooks() {
    let takes = json!({"kind": "scripted", "settings": {"webhooks": true}});
    let routes = json!({
        "main": {"provider": "stripe", "account": "acct_shop", "signing_secret": "whsec", "connector": "sink"},
        "other": {"provider": "stripe", "route_key": "other", "signing_secret": "whsec", "connector": "crm"},
    });
    let changes = json!({"connectors": {"sink": takes}, "webhook_routes": routes});
    let world = World::with(Some(Default::default()), config("shop-dev", changes)).await;
    let taken = accepted(world.webhook(&event("evt_1")).await);
    world.script().reached(1).await;
    let seen = world.script().seen();
    assert_eq!((seen[0].operation.as_str(), &seen[0].input["data"]["payload"]["amount"]), ("webhook", &json!(1.10)));
    assert_eq!(seen[0].input["id"], json!(taken.id.to_string()));
    let now = world.install.clock.now();
    accepted(stripe(&world.engine, Some("other"), &event("evt_2"), "whsec_of_shop-dev", now).await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.script().count(), 1);
    assert!(world.engine.inbox().get(&workspace("shop-dev"), taken.id).await.unwrap().job.is_some());
}
