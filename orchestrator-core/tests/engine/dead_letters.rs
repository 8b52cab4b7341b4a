//! Dead letters: listed, replayed at the pace of their limits, purged; each once, and with a reason.

use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::types::{DeadLetter, DlqFilter, DlqRequest, EventType, JobId, JobStatus};
use serde_json::{Value, json};

use crate::fixture::{World, admin, config, job, name, operator, submit};

const WHY: &str = "the upstream is well again";

fn of(ids: &[JobId]) -> DlqRequest {
    DlqRequest { ids: Some(ids.to_vec()), filter: None, reason: WHY.to_owned() }
}

fn all() -> DlqRequest {
    DlqRequest { ids: None, filter: Some(DlqFilter::default()), reason: WHY.to_owned() }
}

async fn list(world: &World) -> Vec<DeadLetter> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let letters = world.engine.dead_letters();
        let page = letters.list(&world.shop, &DlqFilter::default(), cursor.as_deref(), 500).await.unwrap();
        found.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

/// So many jobs that died at their first attempt, and would succeed at their second.
async fn dead(world: &World, count: usize) -> Vec<JobId> {
    let jobs = vec![job("read", &["422", "ok"]); count];
    let ids: Vec<_> = submit(&world.engine, &world.shop, jobs).await.jobs.into_iter().map(|job| job.id).collect();
    for id in &ids {
        assert_eq!(world.ended(*id).await.status, JobStatus::Dead);
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn a_replayed_job_begins_anew() {
    let world = World::working().await;
    let ids = dead(&world, 2).await;
    let letters = list(&world).await;
    assert_eq!((letters.len(), letters[0].id, letters[0].kind.as_str()), (2, ids[1], "job"));
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("rejected", 1));
    let result = world.engine.dead_letters().replay(&operator(), &world.shop, &of(&ids[..1])).await.unwrap();
    assert_eq!((result.count, result.ids, result.skipped), (1, vec![ids[0]], vec![]));
    let view = world.ended(ids[0]).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1));
    let fences: Vec<_> = world.script().of(ids[0]).iter().map(|seen| seen.fence.unwrap()).collect();
    assert!(fences[1] > fences[0], "{fences:?}");
    assert_eq!(list(&world).await.len(), 1);
    let told = world.events(&[EventType::JobReplayed]).await;
    assert_eq!((told.len(), &told[0].data["reason"], &told[0].data["actor"]), (1, &json!(WHY), &json!("olga")));
}

#[tokio::test(start_paused = true)]
async fn inv_39_a_reason_and_either_ids_or_a_filter_are_asked_for() {
    let world = World::working().await;
    let ids = dead(&world, 1).await;
    let letters = world.engine.dead_letters();
    let both = DlqRequest { filter: Some(DlqFilter::default()), ..of(&ids) };
    let cases = [
        (DlqRequest { reason: " x ".to_owned(), ..of(&ids) }, "/reason"),
        (DlqRequest { reason: "x".repeat(501), ..of(&ids) }, "/reason"),
        (both, ""),
        (DlqRequest { ids: None, ..of(&ids) }, ""),
        (of(&vec![ids[0]; 10_001]), "/ids"),
    ];
    for (request, pointer) in cases {
        for error in [
            letters.replay(&admin(), &world.shop, &request).await.unwrap_err(),
            letters.purge(&admin(), &world.shop, &request).await.unwrap_err(),
        ] {
            assert_eq!((error.status(), error.field_errors()[0].pointer.as_str()), (400, pointer));
        }
    }
    assert_eq!(list(&world).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_39_ten_operators_move_each_of_a_thousand_once() {
    let world = World::working().await;
    dead(&world, 1_000).await;
    let before = world.script().count();
    let nodes = [world.engine.clone(), world.install.node().await];
    let services: Vec<_> = nodes.iter().map(orchestrator_core::Orchestrator::dead_letters).collect();
    let (actor, request) = (operator(), all());
    let results =
        futures_util::future::join_all((0..10).map(|at| services[at % 2].replay(&actor, &world.shop, &request))).await;
    let moved: Vec<_> = results.into_iter().flat_map(|result| result.unwrap().ids).collect();
    assert_eq!(moved.len(), 1_000);
    assert_eq!(moved.iter().collect::<std::collections::BTreeSet<_>>().len(), 1_000);
    for id in moved {
        assert_eq!(world.ended(id).await.status, JobStatus::Succeeded);
    }
    assert_eq!(world.script().count() - before, 1_000);
    assert_eq!(world.events(&[EventType::JobReplayed]).await.len(), 1_000);
    assert!(list(&world).await.is_empty());
    world.audited().await;
}

#[tokio::test(start_paused = true)]
async fn inv_39_a_replay_is_paced_at_the_limits_of_the_workspace() {
    let limit = json!({"policies": {"default": {"rate_limit": {"per_second": 10.0, "burst": 5}}}});
    let world = World::with(Some(Default::default()), config("shop-dev", limit)).await;
    let ids = dead(&world, 105).await;
    let started = world.install.clock.now();
    world.engine.dead_letters().replay(&operator(), &world.shop, &all()).await.unwrap();
    let mut run_at = Vec::new();
    for id in &ids {
        let view = world.engine.jobs().get(&world.shop, *id, Duration::ZERO).await.unwrap();
        run_at.push(view.run_at.since(started).as_millis());
    }
    run_at.sort_unstable();
    assert!(run_at[..5].iter().all(|wait| *wait < 1_000), "{run_at:?}");
    assert!((9_800..=10_500).contains(run_at.last().unwrap()), "{run_at:?}");
    for id in ids {
        assert_eq!(world.ended(id).await.attempt, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_purged_job_is_gone_for_good_and_nothing_else_can_be_purged() {
    let world = World::working().await;
    let ids = dead(&world, 3).await;
    let running = world.submit(job("read", &["gate"])).await;
    world.script().reached(4).await;
    let letters = world.engine.dead_letters();
    let asked = [ids[0], running, JobId::new(), ids[0]];
    let result = letters.purge(&operator(), &world.shop, &of(&asked)).await.unwrap();
    assert_eq!(result.ids, [ids[0]]);
    let skipped: Vec<_> = result.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    assert_eq!(skipped, ["not_dead", "not_found", "not_found"]);
    assert_eq!(world.engine.jobs().get(&world.shop, ids[0], Duration::ZERO).await.unwrap_err().status(), 404);
    world.script().open(1);
    assert_eq!(world.ended(running).await.status, JobStatus::Succeeded);
    assert_eq!(letters.purge(&operator(), &world.shop, &all()).await.unwrap().count, 2);
    assert_eq!(world.events(&[EventType::JobPurged]).await.len(), 3);
    let audit = world.engine.audit().list(Some(&world.shop), None, 100).await.unwrap().items;
    let purges: Vec<_> = audit.iter().filter(|record| record.action == "dlq.purge").collect();
    assert_eq!((purges.len(), purges[0].reason.as_deref(), purges[0].actor.as_str()), (2, Some(WHY), "olga"));
}

#[tokio::test(start_paused = true)]
async fn a_filter_finds_by_connector_and_time() {
    let more = json!({"connectors": {"erp": {"kind": "scripted"}}});
    let world = World::with(Some(Default::default()), config("shop-dev", more)).await;
    dead(&world, 2).await;
    let between = world.install.clock.now();
    tokio::time::advance(Duration::from_secs(10)).await;
    let mut of_erp = job("read", &["422"]);
    of_erp.connector = name("erp");
    let id = world.submit(of_erp).await;
    world.ended(id).await;
    let count = async |filter: Value| {
        let filter: DlqFilter = serde_json::from_value(filter).unwrap();
        world.engine.dead_letters().list(&world.shop, &filter, None, 100).await.unwrap().items.len()
    };
    assert_eq!(count(json!({})).await, 3);
    assert_eq!((count(json!({"connector": "crm"})).await, count(json!({"connector": "erp"})).await), (2, 1));
    assert_eq!(count(json!({"callback": "product"})).await, 0);
    assert_eq!(count(json!({"died_before": between.after(Duration::from_secs(1))})).await, 2);
    assert_eq!(count(json!({"died_after": between.after(Duration::from_secs(1))})).await, 1);
}
