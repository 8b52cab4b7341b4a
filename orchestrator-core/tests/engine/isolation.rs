//! Two workspaces on one engine: neither sees, changes or feels the other.

use std::time::Duration;

use orchestrator_core::jobs::JobCall;
use orchestrator_core::types::{DlqRequest, EventId, InboxId, JobId, TraceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::{Error, Orchestrator};
use serde_json::json;

use crate::fixture::{LONG, World, admin, because, call, config, events, job, name, stripe, submit};

#[tokio::test(start_paused = true)]
async fn inv_15_breaker_limits_and_budget_are_of_one_workspace_and_connector() {
    let policy = json!({
        "retry": {"max_attempts": 1},
        "breaker": {"min_calls": 2, "open_s": 60},
        "rate_limit": {"per_second": 0.01, "burst": 4},
        "concurrency": {"max": 1, "queue": 0},
    });
    let changes = json!({"policies": {"default": policy}, "connectors": {"erp": {"kind": "scripted"}}});
    let world = World::with(None, config("shop-dev", changes.clone())).await;
    let mall = world.import("mall-dev", config("mall-dev", changes)).await;
    let code = async |workspace, connector: &str, step: &str| {
        let wanted = orchestrator_core::execute::Call { connector: name(connector), ..call("read", &[step]) };
        let executed = world.engine.execute(workspace, wanted).await.unwrap();
        executed.result.map_or_else(|failed| failed.error.code, |done| done.status)
    };
    for wanted in ["upstream_failed", "upstream_failed", "breaker_open", "breaker_open", "rate_limited"] {
        assert_eq!(code(&world.shop, "crm", "500").await, wanted);
    }
    for (workspace, connector) in [(&mall, "crm"), (&world.shop, "erp"), (&mall, "erp")] {
        assert_eq!(code(workspace, connector, "ok").await, "succeeded", "{workspace} {connector}");
    }
    let (engine, other) = (world.engine.clone(), mall.clone());
    let busy = tokio::spawn(async move { engine.execute(&other, call("read", &["gate"])).await });
    world.script().reached(6).await;
    assert_eq!(code(&mall, "crm", "ok").await, "concurrency_limited");
    assert_eq!(code(&world.shop, "erp", "ok").await, "succeeded");
    world.script().open(1);
    busy.await.unwrap().unwrap().result.unwrap();
}

/// That nothing is said but that there is no such thing, in the very words of one that never was.
fn same(foreign: Error, absent: Error) {
    assert_eq!((foreign.status(), foreign.code()), (404, absent.code()));
    assert_eq!(foreign.to_string(), absent.to_string());
    assert_eq!(foreign.field_errors(), absent.field_errors());
}

#[tokio::test(start_paused = true)]
async fn inv_13_ids_of_another_workspace_are_ids_of_nothing() {
    let route = json!({"provider": "stripe", "account": "acct_shop", "signing_secret": "whsec", "callback": "product"});
    let world =
        World::with(Some(Default::default()), config("shop-dev", json!({"webhook_routes": {"main": route}}))).await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    let engine: &Orchestrator = &world.engine;
    let execution = world.call("read", &["ok"]).await.result.unwrap().id;
    let dead = world.submit(job("read", &["422"])).await;
    let queued = world.submit(JobCall { delay: Some(LONG), ..job("read", &["ok"]) }).await;
    world.ended(dead).await;
    let Ingress::Accepted(taken) = world.webhook(&json!({"id": "e", "account": "acct_shop"})).await.unwrap() else {
        panic!("no challenge")
    };
    world.product().reached(1).await;

    let (executions, jobs, inbox) = (engine.executions(), engine.jobs(), engine.inbox());
    let none = orchestrator_core::types::ExecutionId::new();
    same(executions.get(&mall, execution).await.unwrap_err(), executions.get(&mall, none).await.unwrap_err());
    for id in [dead, queued] {
        let get = async |id| jobs.get(&mall, id, Duration::ZERO).await.unwrap_err();
        same(get(id).await, get(JobId::new()).await);
        let cancel = async |id| jobs.cancel(&mall, id, TraceId::new()).await.unwrap_err();
        same(cancel(id).await, cancel(JobId::new()).await);
    }
    let get = async |id| inbox.get(&mall, id).await.unwrap_err();
    same(get(taken.id).await, get(InboxId::new()).await);
    let replay = async |id| inbox.replay(&admin(), &mall, id, &because()).await.unwrap_err();
    same(replay(taken.id).await, replay(InboxId::new()).await);
    let request = DlqRequest { ids: Some(vec![dead]), filter: None, reason: "not mine".to_owned() };
    for result in [
        engine.dead_letters().replay(&admin(), &mall, &request).await.unwrap(),
        engine.dead_letters().purge(&admin(), &mall, &request).await.unwrap(),
    ] {
        assert_eq!((result.count, result.skipped[0].reason.as_str()), (0, "not_found"));
    }

    let subject = execution.to_string();
    assert!(executions.requests(&mall, Some(&subject), None, 10).await.unwrap().items.is_empty());
    assert!(jobs.list(&mall, None, None, None, 10).await.unwrap().items.is_empty());
    assert!(
        jobs.list(&mall, None, None, Some(&JobId::from_bits(u128::MAX).to_string()), 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(inbox.list(&mall, None, 10).await.unwrap().items.is_empty());
    assert!(engine.dead_letters().list(&mall, &Default::default(), None, 10).await.unwrap().items.is_empty());
    assert!(events(engine, &mall, &[]).await.iter().all(|event| event.workspace == mall));
    let theirs = world.events(&[]).await.pop().unwrap();
    let cursor = Some(EventId::from_bits(theirs.id.bits()));
    let page = engine.events().page(&mall, cursor, &Default::default(), 10, Duration::ZERO).await.unwrap();
    assert!(page.items.is_empty());
    assert!(engine.configs().version(&mall, 2).await.is_err());
    assert!(
        engine
            .audit()
            .list(Some(&mall), None, 10)
            .await
            .unwrap()
            .items
            .iter()
            .all(|record| record.target.contains("mall"))
    );
    let now = orchestrator_core::clock::Clock::now(&world.install.clock);
    let stolen = stripe(engine, None, &json!({"id": "f", "account": "acct_shop"}), "whsec_of_mall-dev", now).await;
    assert_eq!(stolen.unwrap_err().code(), "signature_invalid");

    let untouched = jobs.get(&world.shop, queued, Duration::ZERO).await.unwrap();
    assert!(!untouched.status.is_terminal());
    assert_eq!(engine.dead_letters().list(&world.shop, &Default::default(), None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_13_one_idempotency_key_in_two_workspaces_is_two_keys() {
    let world = World::idle().await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    let mut wanted = call("write", &["ok"]);
    for (workspace, hash) in [(&world.shop, [1; 32]), (&mall, [2; 32])] {
        let key = Some(("key".parse().unwrap(), hash));
        wanted.idempotency.clone_from(&key);
        assert!(!world.engine.execute(workspace, wanted.clone()).await.unwrap().replayed);
        let jobs = vec![job("read", &["ok"])];
        assert!(!world.engine.jobs().submit(workspace, jobs, key, TraceId::new(), None).await.unwrap().replayed);
    }
}

#[tokio::test(start_paused = true)]
async fn one_ordering_key_in_two_workspaces_is_two_keys() {
    let world = World::working().await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    let held = JobCall { ordering_key: Some("k".to_owned()), ..job("read", &["gate"]) };
    submit(&world.engine, &world.shop, vec![held]).await;
    let free = JobCall { ordering_key: Some("k".to_owned()), ..job("read", &["ok"]) };
    let id = submit(&world.engine, &mall, vec![free]).await.jobs[0].id;
    let view = world.engine.jobs().get(&mall, id, LONG).await.unwrap();
    assert!(view.status.is_terminal());
    world.script().open(1);
}
