//! Deliveries to the product: signed, the same bytes on each try, one id for one story; and delivering again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::types::{DlqRequest, EventType, InboxId, InboxStatus, JobId, JobStatus, TraceId};
use orchestrator_core::webhooks::Ingress;
use serde_json::{Value, json};

use crate::fixture::{CB, LONG, PRODUCT, World, admin, because, config, job, name, signed};
use crate::product::Answer;

fn told(callback: bool) -> JobCall {
    let metadata = BTreeMap::from([("order".to_owned(), "7".to_owned())]);
    JobCall { callback: callback.then(|| name("product")), metadata, ..job("read", &["ok"]) }
}

async fn with_route() -> World {
    let route = json!({"provider": "stripe", "account": "acct_shop", "signing_secret": "whsec", "callback": "product"});
    World::with(Some(Default::default()), config("shop-dev", json!({"webhook_routes": {"main": route}}))).await
}

async fn receive(world: &World, id: &str) -> InboxId {
    let body = format!(r#"{{"id": "{id}", "type": "invoice.paid", "account": "acct_shop", "amount": 1.10}}"#);
    let headers = signed("stripe", body.as_bytes(), "whsec_of_shop-dev", world.install.clock.now());
    match world.engine.webhooks().ingest("stripe", None, &headers, body.into(), TraceId::new()).await.unwrap() {
        Ingress::Accepted(accepted) => accepted.id,
        Ingress::Challenge(_) => panic!("no challenge"),
    }
}

async fn status(world: &World, id: InboxId) -> InboxStatus {
    world.engine.inbox().get(&world.shop, id).await.unwrap().status
}

/// The delivery job of an inbox entry when it has ended.
async fn delivery_ended(world: &World, id: InboxId) -> JobStatus {
    let job = world.engine.inbox().get(&world.shop, id).await.unwrap().job.unwrap();
    world.ended(job).await.status
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_job_is_delivered_signed_with_its_metadata() {
    let world = World::working().await;
    let id = world.submit(told(true)).await;
    let delivered = &world.product().reached(1).await[0];
    world.event(EventType::CallbackDelivered, 1).await;
    let body = delivered.body();
    assert_eq!((delivered.url.as_str(), delivered.id()), (PRODUCT, id.to_string()));
    assert_eq!(
        (&body["type"], &body["id"], &body["workspace"]),
        (&json!("job.succeeded"), &json!(id), &json!("shop-dev"))
    );
    let data = &body["data"];
    assert_eq!((&data["connector"], &data["operation"], &data["attempts"]), (&json!("crm"), &json!("read"), &json!(1)));
    assert_eq!((&data["metadata"]["order"], &data["output"]["status"]), (&json!("7"), &json!(200)));
    assert!(delivered.verifies(CB) && !delivered.verifies(crate::fixture::CB2));
    let view = world.ended(id).await;
    assert!(delivered.header("traceparent").contains(&view.trace_id.to_string()));
    let callback = view.callback.unwrap();
    assert_eq!((callback.name.as_str(), callback.status.as_str(), callback.attempts), ("product", "delivered", 1));
    let told = world.events(&[EventType::CallbackDelivered]).await;
    assert_eq!((told.len(), &told[0].subject), (1, &id.to_string()));
}

/// What was purged never arrived: its entry says so, and delivering it again is still the first delivery.
#[tokio::test(start_paused = true)]
async fn inv_39_an_entry_whose_delivery_was_purged_is_dead_and_keeps_its_id() {
    let world = with_route().await;
    world.product().answers(PRODUCT, &[Answer::Status(410), Answer::Status(200)]);
    let id = receive(&world, "evt_1").await;
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Dead);
    let job = world.engine.inbox().get(&world.shop, id).await.unwrap().job.unwrap();
    let purge = DlqRequest { ids: Some(vec![job]), filter: None, reason: "of no use".to_owned() };
    assert_eq!(world.engine.dead_letters().purge(&admin(), &world.shop, &purge).await.unwrap().count, 1);
    assert_eq!(status(&world, id).await, InboxStatus::Dead);
    world.engine.inbox().replay(&admin(), &world.shop, id, &because()).await.unwrap();
    let delivered = world.product().reached(2).await;
    assert_eq!((delivered[1].id(), delivered[0].id()), (id.to_string(), id.to_string()));
    assert_eq!(delivered[1].body().get("replay_of"), None);
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Succeeded);
    assert_eq!(status(&world, id).await, InboxStatus::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_died_tells_the_product_why() {
    let world = World::working().await;
    let id = world.submit(JobCall { input: json!({"steps": ["422"]}), ..told(true) }).await;
    let body = world.product().reached(1).await[0].body();
    assert_eq!((&body["type"], &body["id"]), (&json!("job.dead"), &json!(id)));
    assert_eq!(body["data"]["error"]["code"], "upstream_rejected");
    assert_eq!(body["data"]["error"]["upstream"]["status"], 422);
}

#[tokio::test(start_paused = true)]
async fn inv_11_every_try_has_the_same_id_and_bytes_and_a_signature_of_its_own() {
    let world = with_route().await;
    let answers =
        [Answer::Status(500), Answer::Unreachable, Answer::Later(429, Duration::from_secs(20)), Answer::Status(204)];
    world.product().answers(PRODUCT, &answers);
    let id = receive(&world, "evt_1").await;
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Succeeded);
    let tries = world.product().deliveries();
    assert_eq!(tries.len(), 4);
    assert!(tries.iter().all(|one| one.id() == id.to_string() && one.bytes == tries[0].bytes && one.verifies(CB)));
    let signatures: BTreeSet<_> = tries.iter().map(|one| one.header("webhook-signature").to_owned()).collect();
    assert_eq!(signatures.len(), 4, "each is signed at its own time");
    let waits: Vec<_> = tries.windows(2).map(|two| (two[1].at - two[0].at).as_secs()).collect();
    assert_eq!(waits, [1, 3, 20]);
    let data = &tries[0].body()["data"];
    assert_eq!((&data["event_id"], &data["payload"]["amount"]), (&json!("evt_1"), &json!(1.10)));
    assert_eq!(
        (&data["provider"], &data["route"], &data["account"]),
        (&json!("stripe"), &json!("main"), &json!("acct_shop"))
    );
    assert!(String::from_utf8_lossy(&tries[0].bytes).contains("\"amount\": 1.10}"), "the sender's own bytes");
    assert_eq!(status(&world, id).await, InboxStatus::Delivered);
}

#[tokio::test(start_paused = true)]
async fn some_refusals_are_final_at_once_and_others_after_a_few() {
    let world = with_route().await;
    for (number, (code, tries)) in
        [(400, 1), (410, 1), (413, 1), (422, 1), (404, 3), (403, 3), (301, 4), (408, 4), (429, 4), (500, 4)]
            .iter()
            .enumerate()
    {
        let before = world.product().deliveries().len();
        world.product().answers(PRODUCT, &[Answer::Status(*code)]);
        let id = receive(&world, &format!("evt_{number}")).await;
        assert_eq!(delivery_ended(&world, id).await, JobStatus::Dead, "{code}");
        assert_eq!(world.product().deliveries().len() - before, *tries, "{code}");
        assert_eq!(status(&world, id).await, InboxStatus::Dead);
        // So that the retry budget is not what decides.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let told = world.events(&[EventType::CallbackFailed]).await;
    assert_eq!(told.len(), 10);
    assert_eq!((&told[0].data["reason"], &told[9].data["reason"]), (&json!("rejected"), &json!("exhausted")));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_the_product_is_clamped() {
    let world = with_route().await;
    world.product().answers(PRODUCT, &[Answer::Later(503, LONG), Answer::Status(200)]);
    let id = receive(&world, "evt_1").await;
    delivery_ended(&world, id).await;
    let tries = world.product().deliveries();
    assert_eq!((tries[1].at - tries[0].at).as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn inv_11_a_replay_of_what_was_dead_keeps_its_id_and_of_what_was_delivered_says_so() {
    let world = with_route().await;
    world.product().answers(PRODUCT, &[Answer::Status(410)]);
    let id = receive(&world, "evt_1").await;
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Dead);
    world.product().answers(PRODUCT, &[Answer::Status(200)]);
    let replay = async || world.engine.inbox().replay(&admin(), &world.shop, id, &because()).await;
    assert_eq!(replay().await.unwrap().status, InboxStatus::Delivering);
    assert_eq!(replay().await.unwrap_err().code(), "delivery_pending");
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Succeeded);
    replay().await.unwrap();
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Succeeded);
    replay().await.unwrap();
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Succeeded);
    let tries = world.product().deliveries();
    assert_eq!(tries.len(), 4);
    assert_eq!((tries[0].id(), tries[1].id()), (id.to_string(), id.to_string()));
    assert_eq!(tries[0].bytes, tries[1].bytes);
    assert_eq!(tries[1].body()["replay_of"], Value::Null);
    let ids: BTreeSet<_> = tries.iter().map(crate::product::Delivered::id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(tries[2].body()["replay_of"], json!(id));
    assert_eq!(tries[3].body()["replay_of"], json!(tries[2].id()));
    assert!(tries.iter().all(|one| one.body()["id"] == json!(id) && one.verifies(CB)));
    let audit = world.engine.audit().list(Some(&world.shop), None, 50).await.unwrap().items;
    let replays: Vec<_> = audit.iter().filter(|record| record.action == "inbox.replay").collect();
    assert_eq!((replays.len(), replays[0].reason.as_deref()), (3, Some("a test asks for it")));
    assert!(world.audited().await > 3);
}

#[tokio::test(start_paused = true)]
async fn inv_11_an_outcome_after_a_replay_is_not_taken_for_the_one_before() {
    let world = World::working().await;
    let input = json!({"steps": ["422", "ok"]});
    let id = world.submit(JobCall { input, ..told(true) }).await;
    world.product().reached(1).await;
    world.event(EventType::CallbackDelivered, 1).await;
    let request = DlqRequest { ids: Some(vec![id]), filter: None, reason: "the upstream is well again".to_owned() };
    assert_eq!(world.engine.dead_letters().replay(&admin(), &world.shop, &request).await.unwrap().count, 1);
    let delivered = world.product().reached(2).await;
    let kinds: Vec<_> = delivered.iter().map(|one| one.body()["type"].clone()).collect();
    assert_eq!(kinds, ["job.dead", "job.succeeded"]);
    assert_ne!(delivered[0].id(), delivered[1].id(), "no id with two bodies");
    assert!(delivered.iter().all(|one| one.body()["id"] == json!(id)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_callback_is_a_dead_letter_and_keeps_its_id_when_it_is_replayed() {
    let world = World::working().await;
    world.product().answers(PRODUCT, &[Answer::Status(410)]);
    let id = world.submit(told(true)).await;
    world.event(EventType::CallbackFailed, 1).await;
    let view = world.ended(id).await;
    assert_eq!((view.status, view.callback.unwrap().status.as_str()), (JobStatus::Succeeded, "dead"));
    let dead = world.engine.dead_letters().list(&world.shop, &Default::default(), None, 10).await.unwrap().items;
    assert_eq!((dead.len(), dead[0].kind.as_str(), dead[0].subject.clone()), (1, "callback", Some(id.to_string())));
    assert_eq!((dead[0].callback.clone(), dead[0].reason.as_str()), (Some(name("product")), "rejected"));
    world.product().answers(PRODUCT, &[Answer::Status(200)]);
    let request = DlqRequest { ids: Some(vec![dead[0].id]), filter: None, reason: "it is back".to_owned() };
    world.engine.dead_letters().replay(&admin(), &world.shop, &request).await.unwrap();
    world.event(EventType::CallbackDelivered, 1).await;
    let tries = world.product().deliveries();
    assert_eq!((tries.len(), tries[0].id(), &tries[0].bytes), (2, tries[1].id(), &tries[1].bytes));
    let error = world.engine.jobs().get(&world.shop, dead[0].id, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.code(), "not_found", "a callback is no job of the product");
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_or_a_missing_secret_delays_a_delivery() {
    let world = World::working().await;
    world.install.env.lock().unwrap().remove("SHOP_DEV_CB");
    world.product().answers(PRODUCT, &[Answer::Panic, Answer::Status(200)]);
    world.submit(told(true)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.product().deliveries().is_empty());
    world.install.set_env("SHOP_DEV_CB", CB);
    world.event(EventType::CallbackDelivered, 1).await;
    assert_eq!(world.product().deliveries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn inv_11_a_delivery_that_outlived_retention_is_not_repeated_under_its_id() {
    let world = with_route().await;
    let id = receive(&world, "evt_1").await;
    assert_eq!(delivery_ended(&world, id).await, JobStatus::Succeeded);
    // The job goes before the entry does.
    let none = world.install.clock.now().before(1_000 * LONG);
    tokio::time::advance(LONG).await;
    let sweep = orchestrator_core::store::Sweep {
        workspace: world.shop.clone(),
        requests_before: none,
        events_before: none,
        inbox_before: none,
        jobs_before: world.install.clock.now(),
        tombstones_before: none,
    };
    assert!(world.install.store.sweep(sweep, 100).await.unwrap() > 0);
    assert_eq!(status(&world, id).await, InboxStatus::Delivered);
    world.engine.inbox().replay(&admin(), &world.shop, id, &because()).await.unwrap();
    let tries = world.product().reached(2).await;
    assert_ne!(tries[1].id(), tries[0].id());
    assert_eq!(tries[1].body()["replay_of"], json!(id));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_replayed_says_why() {
    let route = json!({"provider": "stripe", "account": "acct_shop", "signing_secret": "whsec"});
    let world = World::with(None, config("shop-dev", json!({"webhook_routes": {"main": route}}))).await;
    let id = receive(&world, "evt_1").await;
    let replay = async |id| world.engine.inbox().replay(&admin(), &world.shop, id, &because()).await.unwrap_err();
    assert_eq!(replay(id).await.code(), "no_callback");
    assert_eq!(replay(InboxId::new()).await.code(), "not_found");
    assert!(orchestrator_core::Reason::new("  x ").is_err());
    assert!(world.engine.inbox().get(&world.shop, InboxId::from_bits(JobId::new().bits())).await.is_err());
}
