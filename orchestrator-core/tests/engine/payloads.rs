//! Bodies that are stored apart: of outputs, inputs, webhooks and uploads; and what becomes of those that are lost.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use orchestrator_core::clock::Clock;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::payload::{ByteStream, Object, ObjectError, PayloadKey, PayloadScope, PayloadStore};
use orchestrator_core::types::{DlqFilter, EventType, JobStatus, PayloadId, PayloadRef, TraceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Error, Orchestrator};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fixture::{Install, World, call, config, job, name, signed, submit, workspace};

const HOUR: Duration = Duration::from_secs(3_600);
/// Within this time there has been a sweep.
const SWEPT: Duration = Duration::from_secs(16 * 60);

fn scope() -> PayloadScope {
    PayloadScope { environment: "dev".parse().unwrap(), workspace: workspace("shop-dev") }
}

fn one(bytes: impl Into<Bytes>) -> ByteStream {
    stream::iter([Ok(bytes.into())]).boxed()
}

async fn upload(world: &World, bytes: impl Into<Bytes>) -> PayloadId {
    world.engine.payloads().upload(&world.shop, "text/plain", one(bytes)).await.unwrap().payload_ref.id
}

async fn read(engine: &Orchestrator, id: PayloadId, range: Option<Range<u64>>) -> Result<Vec<u8>, Error> {
    let mut reader = engine.payloads().open(&workspace("shop-dev"), id, range).await?;
    let mut whole = Vec::new();
    while let Some(piece) = reader.body.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}

async fn objects(install: &Install) -> Vec<PayloadId> {
    install.payloads.list(&scope(), None, 1_000).await.unwrap()
}

fn referred(value: &Value) -> PayloadRef {
    serde_json::from_value(value["payload_ref"].clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Both ways of keeping: sealed and open.
async fn worlds() -> [World; 2] {
    let with = |encrypt: bool| World::with(None, config("shop-dev", json!({"payloads": {"encrypt": encrypt}})));
    [with(true).await, with(false).await]
}

#[tokio::test(start_paused = true)]
async fn a_part_is_read_of_what_is_sealed_and_of_what_lies_open() {
    let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    for world in worlds().await {
        let id = upload(&world, text.clone()).await;
        assert_eq!(read(&world.engine, id, None).await.unwrap(), text);
        for range in [0..1, 65_535..65_537, 65_536..131_072, 131_071..199_999, 199_999..200_000, 0..200_000] {
            let part = read(&world.engine, id, Some(range.clone())).await.unwrap();
            assert!(part == text[range.start as usize..range.end as usize], "{range:?}");
        }
        for wrong in [5..5, 199_999..200_001, 200_000..200_001] {
            assert_eq!(read(&world.engine, id, Some(wrong)).await.unwrap_err().status(), 400);
        }
        for size in [0_usize, 1, 65_536, 65_537] {
            let id = upload(&world, text[..size].to_vec()).await;
            assert_eq!(read(&world.engine, id, None).await.unwrap(), text[..size]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn inv_23_a_sealed_payload_shows_nothing_of_itself() {
    let [sealed, open] = worlds().await;
    let canary = Bytes::from_static(b"canary-of-a-payload");
    let holds = async |world: &World| {
        let id = upload(world, canary.clone()).await;
        let object = world.install.payloads.get(&scope().key(id), None).await.unwrap();
        let kept = object.body.map(|piece| piece.unwrap()).collect::<Vec<_>>().await.concat();
        kept.windows(canary.len()).any(|part| part == canary)
    };
    assert!(holds(&open).await, "what is planted is found");
    assert!(!holds(&sealed).await);
}

#[tokio::test(start_paused = true)]
async fn inv_44_what_is_not_what_was_stored_is_lost() {
    for world in worlds().await {
        let (one, other) = (upload(&world, "x".repeat(100_000)).await, upload(&world, "y".repeat(100_000)).await);
        let mut foreign = Bytes::new();
        world.install.payloads.tamper(&scope().key(other), |bytes| {
            foreign = bytes.clone();
            Some(bytes.clone())
        });
        let good = std::cell::RefCell::new(Bytes::new());
        let becomes = |change: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>| {
            world.install.payloads.tamper(&scope().key(one), |bytes| {
                if good.borrow().is_empty() {
                    *good.borrow_mut() = bytes.clone();
                }
                change(good.borrow().to_vec()).map(Bytes::from)
            });
        };
        let foreign = foreign.to_vec();
        let swapped = move |_| Some(foreign.clone());
        let cut = |mut bytes: Vec<u8>| {
            bytes.truncate(65_552);
            Some(bytes)
        };
        let longer = |mut bytes: Vec<u8>| {
            bytes.push(b'x');
            Some(bytes)
        };
        let turned = |mut bytes: Vec<u8>| {
            *bytes.last_mut().unwrap() ^= 1;
            Some(bytes)
        };
        let changes: [&dyn Fn(Vec<u8>) -> Option<Vec<u8>>; 4] = [&swapped, &cut, &longer, &turned];
        for (number, change) in changes.into_iter().enumerate() {
            becomes(change);
            let whole = read(&world.engine, one, None).await.unwrap_err();
            assert_eq!((whole.code(), whole.status()), ("payload_lost", 410), "change {number}");
            let part = read(&world.engine, one, Some(99_990..100_000)).await.unwrap_err();
            assert_eq!(part.code(), "payload_lost", "change {number}");
        }
        let row = world.install.store.payload(&world.shop, one).await.unwrap().unwrap();
        assert!(row.lost_at.is_some());
        // Put back from a copy it is found again.
        becomes(&|good| Some(good));
        assert_eq!(read(&world.engine, one, None).await.unwrap().len(), 100_000);
        becomes(&|_| None);
        assert_eq!(read(&world.engine, one, None).await.unwrap_err().code(), "payload_lost");
        assert_eq!(read(&world.engine, other, None).await.unwrap().len(), 100_000, "that item alone");
    }
}

#[tokio::test(start_paused = true)]
async fn inv_16_the_objects_of_another_install_do_not_open() {
    let here = World::idle().await;
    let id = upload(&here, "body").await;
    let row = here.install.store.payload(&here.shop, id).await.unwrap().unwrap().payload;
    // Database and objects are copied; the key is not.
    let mut elsewhere = here.install.clone();
    elsewhere.ring = Install::new().ring;
    let copied = elsewhere.node().await;
    assert_eq!(read(&copied, row.id, None).await.unwrap_err().status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_large_output_is_answered_by_reference() {
    let world = World::working().await;
    let done = world.call("read", &["large:70000"]).await.result.unwrap();
    assert_eq!(done.output.as_object().unwrap().len(), 1);
    let reference = referred(&done.output);
    let whole = read(&world.engine, reference.id, None).await.unwrap();
    assert_eq!(whole, json!({"text": "x".repeat(70_000)}).to_string().into_bytes());
    assert_eq!((reference.size, reference.content_type.as_str()), (whole.len() as u64, "application/json"));
    let small = world.call("read", &["large:60000"]).await.result.unwrap();
    assert!(small.output["text"].is_string());

    let id = world.submit(JobCall { callback: Some(name("product")), ..job("read", &["large:70000"]) }).await;
    let told = world.product().reached(1).await[0].body();
    let view = world.ended(id).await;
    assert_eq!(view.output.as_ref(), Some(&told["data"]["output"]));
    assert_eq!(read(&world.engine, referred(&told["data"]["output"]).id, None).await.unwrap(), whole);
    assert_eq!(objects(&world.install).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_large_input_is_stored_apart_and_comes_to_the_connector_whole() {
    let world = World::idle().await;
    let mut asked = job("read", &["ok"]);
    asked.input["n"] = json!("y".repeat(80_000));
    let id = submit(&world.engine, &world.shop, vec![asked.clone()]).await.jobs[0].id;
    let row = world.install.store.job(&world.shop, id).await.unwrap().unwrap();
    assert!(row.job.input.len() < 100);
    let kept = objects(&world.install).await;
    assert_eq!(kept.len(), 1);
    let worker = world.install.worker(WorkerOptions::default()).await;
    let view = worker.jobs().get(&world.shop, id, HOUR).await.unwrap();
    assert_eq!(view.status, JobStatus::Succeeded, "{:?}", view.error);
    assert_eq!(world.script().of(id)[0].input, asked.input);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_leaves_no_second_object() {
    let world = World::idle().await;
    let mut asked = job("read", &["ok"]);
    asked.input["n"] = json!("y".repeat(80_000));
    let submit = async |hash: u8| {
        let key = ("k".parse().unwrap(), [hash; 32]);
        world.engine.jobs().submit(&world.shop, vec![asked.clone()], Some(key), TraceId::new(), None).await
    };
    let first = submit(1).await.unwrap();
    let again = submit(1).await.unwrap();
    assert!(again.replayed && again.jobs == first.jobs);
    assert_eq!(submit(2).await.unwrap_err().code(), "idempotency_mismatch");
    assert_eq!(objects(&world.install).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_44_a_job_whose_input_is_lost_dies_of_it_alone_and_at_once() {
    let world = World::idle().await;
    let mut asked = job("read", &["ok"]);
    asked.input["n"] = json!("y".repeat(80_000));
    let jobs = submit(&world.engine, &world.shop, vec![asked.clone(), asked, job("read", &["ok"])]).await.jobs;
    let lost = objects(&world.install).await[0];
    world.install.payloads.tamper(&scope().key(lost), |_| None);
    let worker = world.install.worker(WorkerOptions::default()).await;
    let mut ended = Vec::new();
    for job in &jobs {
        ended.push(worker.jobs().get(&world.shop, job.id, HOUR).await.unwrap());
    }
    let dead: Vec<_> = ended.iter().filter(|view| view.status == JobStatus::Dead).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].error.as_ref().unwrap().code.as_str(), dead[0].attempt), ("payload_lost", 1));
    assert_eq!(ended.iter().filter(|view| view.status == JobStatus::Succeeded).count(), 2);
    let letters = worker.dead_letters().list(&world.shop, &DlqFilter::default(), None, 10).await.unwrap().items;
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "payload_lost"));
    assert!(world.script().of(dead[0].id).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_named_by_a_job_and_read_by_its_connector() {
    let world = World::working().await;
    let id = upload(&world, "attached").await;
    let mut asked = job("read", &[&format!("open:{id}")]);
    asked.input["file"] = json!({"payload_ref": {"id": id}});
    let view = world.ended(world.submit(asked).await).await;
    assert_eq!(view.output.unwrap(), json!({"type": "text/plain", "text": "attached"}));
    let absent = PayloadId::new();
    let mut wrong = job("read", &["ok"]);
    wrong.input["files"] = json!([{"payload_ref": {"id": id}}, {"payload_ref": {"id": absent}}]);
    let call = orchestrator_core::execute::Call { input: wrong.input.clone(), ..call("read", &[]) };
    let executed = world.engine.execute(&world.shop, call).await.unwrap_err();
    assert_eq!(executed.field_errors()[0].pointer, "/input/files/1/payload_ref/id");
    let refused = world.engine.jobs().submit(&world.shop, vec![wrong], None, TraceId::new(), Some("/jobs")).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), refused.field_errors()[0].pointer.as_str()),
        ("invalid_input", "/jobs/0/input/files/1/payload_ref/id")
    );
}

#[tokio::test(start_paused = true)]
async fn inv_44_a_connector_opens_nothing_of_another_workspace() {
    let world = World::working().await;
    let other = world.import("bank-dev", config("bank-dev", json!({}))).await;
    let theirs = world.engine.payloads().upload(&other, "text/plain", one("theirs")).await.unwrap().payload_ref.id;
    assert!(matches!(read(&world.engine, theirs, None).await, Err(Error::NotFound { .. })));
    // Named where nobody looks for names, so that only the connector meets it.
    let step = format!("open:{theirs}");
    let failure = world.call("read", &[&step]).await.result.unwrap_err();
    assert_eq!((failure.error.code.as_str(), failure.status(), failure.attempts), ("payload_lost", 410, 1));
    let view = world.ended(world.submit(job("read", &[&step])).await).await;
    assert_eq!((view.status, view.error.unwrap().code.as_str(), view.attempt), (JobStatus::Dead, "payload_lost", 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_connector_stores_lives_as_its_output_names_it() {
    let world = World::working().await;
    for _ in 0..2 {
        let done = world.call("read", &["store:made"]).await.result.unwrap();
        let id = referred(&done.output["file"]).id;
        assert_eq!(read(&world.engine, id, None).await.unwrap(), b"made");
    }
    let view = world.ended(world.submit(job("read", &["store:made"])).await).await;
    let id = referred(&view.output.unwrap()["file"]).id;
    assert_eq!(read(&world.engine, id, None).await.unwrap(), b"made");
    assert_eq!(objects(&world.install).await.len(), 3, "what no output names is gone");
}

#[tokio::test(start_paused = true)]
async fn a_large_webhook_is_delivered_by_reference_once() {
    let route = json!({"provider": "stripe", "account": "acct_shop", "signing_secret": "whsec", "callback": "product"});
    let world =
        World::with(Some(Default::default()), config("shop-dev", json!({"webhook_routes": {"main": route}}))).await;
    let text = "z".repeat(100_000);
    let body = format!(r#"{{"id": "evt_1", "type": "invoice.paid", "account": "acct_shop", "text": "{text}"}}"#);
    let receive = async || {
        let mut headers = signed("stripe", body.as_bytes(), "whsec_of_shop-dev", world.install.clock.now());
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json; charset=utf-8"));
        let ingress =
            world.engine.webhooks().ingest("stripe", None, &headers, body.clone().into(), TraceId::new()).await;
        let Ok(Ingress::Accepted(accepted)) = ingress else { panic!("{ingress:?}") };
        accepted
    };
    let accepted = receive().await;
    let told = world.product().reached(1).await[0].body();
    let data = &told["data"];
    assert!(data.get("payload").is_none() && data.get("payload_base64").is_none(), "{data}");
    let reference = referred(data);
    assert_eq!(reference.content_type, "application/json; charset=utf-8");
    assert_eq!(read(&world.engine, reference.id, None).await.unwrap(), body.as_bytes());
    let entry = world.engine.inbox().get(&world.shop, accepted.id).await.unwrap();
    assert_eq!((entry.payload, entry.payload_base64, entry.payload_ref), (None, None, Some(reference)));
    assert!(receive().await.duplicate);
    assert_eq!(objects(&world.install).await.len(), 1);
    world.event(EventType::CallbackDelivered, 1).await;
    let (actor, reason) = (crate::fixture::admin(), crate::fixture::because());
    world.engine.inbox().replay(&actor, &world.shop, accepted.id, &reason).await.unwrap();
    let replayed = world.product().reached(2).await[1].body();
    assert_eq!(replayed["data"]["payload_ref"], data["payload_ref"]);
}

#[tokio::test(start_paused = true)]
async fn inv_44_an_object_whose_row_never_came_goes_after_a_day() {
    let world = World::working().await;
    let now = u64::try_from(world.install.clock.now().unix_ms()).unwrap();
    let put = async |hours: u64| {
        let id = PayloadId::at(now - hours * 3_600_000);
        world.install.payloads.put(&scope().key(id), one("written, and then the process died")).await.unwrap();
        id
    };
    let (old, young) = (put(25).await, put(1).await);
    let (unnamed, named) = (upload(&world, "unnamed").await, upload(&world, "named").await);
    let mut asked = job("read", &["ok"]);
    asked.input["file"] = json!({"payload_ref": {"id": named}});
    world.ended(world.submit(asked).await).await;
    sleep(SWEPT).await;
    let mut left = objects(&world.install).await;
    assert!(!left.contains(&old), "older than a day");
    assert!([young, unnamed, named].iter().all(|id| left.contains(id)));
    world.install.clock.set_on(25 * HOUR);
    sleep(SWEPT).await;
    left = objects(&world.install).await;
    assert!(!left.contains(&unnamed) && left.contains(&named), "a job names it");
    assert_eq!(read(&world.engine, named, None).await.unwrap(), b"named");
    assert!(matches!(read(&world.engine, unnamed, None).await, Err(Error::NotFound { .. })));
    // What lies there without a row is looked for less often.
    sleep(14 * SWEPT).await;
    assert_eq!(objects(&world.install).await, [named]);
    // The job is kept for thirty days.
    world.install.clock.set_on(31 * 24 * HOUR);
    sleep(SWEPT).await;
    assert!(objects(&world.install).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_bounded() {
    let install = Install::new();
    let engine = install.builder().payload_max_bytes(1_000).build().await.unwrap();
    let world = World { install, engine, shop: workspace("shop-dev") };
    world.import("shop-dev", config("shop-dev", json!({}))).await;
    assert_eq!(upload(&world, "x".repeat(1_000)).await.to_string().len(), 30);
    let pieces = stream::iter((0..101).map(|_| Ok(Bytes::from_static(b"0123456789")))).boxed();
    let refused = world.engine.payloads().upload(&world.shop, "", pieces).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("body_too_large", 413));
    assert_eq!(objects(&world.install).await.len(), 1);
}

/// A payload store that is away.
struct Away;

#[async_trait]
impl PayloadStore for Away {
    fn name(&self) -> &'static str {
        "away"
    }

    async fn put(&self, _key: &PayloadKey, _body: ByteStream) -> Result<u64, ObjectError> {
        self.ping().await.map(|()| 0)
    }

    async fn get(&self, _key: &PayloadKey, _range: Option<Range<u64>>) -> Result<Object, ObjectError> {
        Err(ObjectError::unavailable("away"))
    }

    async fn delete(&self, _key: &PayloadKey) -> Result<(), ObjectError> {
        self.ping().await
    }

    async fn list(
        &self,
        _scope: &PayloadScope,
        _after: Option<PayloadId>,
        _limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError> {
        self.ping().await.map(|()| Vec::new())
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        Err(ObjectError::unavailable("away"))
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_payload_store_away_large_bodies_stay_inline_and_nothing_fails() {
    let install = Install::new();
    let away = install.builder().payloads(Arc::new(Away)).worker(WorkerOptions::default()).build().await.unwrap();
    let world = World { install, engine: away, shop: workspace("shop-dev") };
    world.import("shop-dev", config("shop-dev", json!({}))).await;
    let done = world.call("read", &["large:70000"]).await.result.unwrap();
    assert_eq!(done.output["text"].as_str().unwrap().len(), 70_000);
    let mut asked = job("read", &["large:70000"]);
    asked.input["n"] = json!("y".repeat(80_000));
    let view = world.ended(world.submit(asked).await).await;
    assert_eq!(view.output.unwrap()["text"].as_str().unwrap().len(), 70_000);
    let upload = world.engine.payloads().upload(&world.shop, "", one("x")).await.unwrap_err();
    assert_eq!((upload.code(), upload.status()), ("unavailable", 503));
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_input_cannot_be_had_now_waits_and_loses_no_attempt() {
    let world = World::idle().await;
    let mut asked = job("read", &["ok"]);
    asked.input["n"] = json!("y".repeat(80_000));
    let id = submit(&world.engine, &world.shop, vec![asked]).await.jobs[0].id;
    let away = world.install.builder().payloads(Arc::new(Away)).worker(WorkerOptions::default()).build().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    away.shutdown(Duration::ZERO).await;
    assert!(world.script().of(id).is_empty());
    // Its store was closed with it, which in memory means nothing.
    let back = world.install.worker(WorkerOptions::default()).await;
    let view = back.jobs().get(&world.shop, id, HOUR).await.unwrap();
    assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_its_lane_does_not_read_its_input() {
    let held = json!({
        "policies": {"default": {"breaker": {}}}, "connectors": {"crm": {"breaker_hold": "open"}},
    });
    let world = World::with(None, config("shop-dev", held)).await;
    let mut asked = job("read", &["ok"]);
    asked.input["n"] = json!("y".repeat(80_000));
    let id = submit(&world.engine, &world.shop, vec![asked]).await.jobs[0].id;
    // Whoever reads it finds it lost, and the job dead.
    let lost = objects(&world.install).await[0];
    world.install.payloads.tamper(&scope().key(lost), |_| None);
    let _worker = world.install.worker(WorkerOptions::default()).await;
    sleep(Duration::from_secs(60)).await;
    let view = world.engine.jobs().get(&world.shop, id, Duration::ZERO).await.unwrap();
    // Before its next look at the lane, or due for one.
    assert!(matches!(view.status, JobStatus::Scheduled | JobStatus::Queued), "{:?}", view.status);
    assert_eq!(view.attempt, 0);
}
