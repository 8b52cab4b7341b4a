//! Durable jobs: accepting, watching, cancelling, and the ways in which they end.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::jobs::{JobCall, Submitted};
use orchestrator_core::types::{EventType, JobId, JobStatus, TraceId};
use orchestrator_core::{Error, Orchestrator};
use serde_json::json;
use tokio::time::Instant;

use crate::fixture::{LONG, World, job, name, submit, workspace};

async fn refused(world: &World, jobs: Vec<JobCall>, prefix: Option<&str>) -> Error {
    world.engine.jobs().submit(&world.shop, jobs, None, TraceId::new(), prefix).await.unwrap_err()
}

fn pointers(error: &Error) -> Vec<&str> {
    error.field_errors().iter().map(|error| error.pointer.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_and_everything_about_it_is_told() {
    let world = World::working().await;
    let mut wanted = job("write", &["ok"]);
    wanted.input["n"] = json!(42);
    wanted.metadata = BTreeMap::from([("order".to_owned(), "7".to_owned())]);
    let id = world.submit(wanted).await;
    let view = world.ended(id).await;
    assert_eq!((view.status, view.attempt, view.max_attempts), (JobStatus::Succeeded, 1, 4));
    assert_eq!((&view.output.unwrap()["n"], view.error, view.callback), (&json!(42), None, None));
    assert_eq!((view.connector, view.metadata["order"].as_str()), (Some(name("crm")), "7"));
    let told: Vec<_> = world.events(&[]).await.into_iter().filter(|event| event.subject == id.to_string()).collect();
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::JobQueued, EventType::JobStarted, EventType::JobSucceeded]);
    assert!(told.iter().all(|event| event.trace_id == view.trace_id));
    let seen = world.script().of(id);
    assert_eq!((seen.len(), seen[0].fence), (1, Some(1)));
    let requests = world.engine.executions().requests(&world.shop, Some(&id.to_string()), None, 10).await.unwrap();
    assert_eq!((requests.items.len(), requests.items[0].attempts_log.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn everything_wrong_with_a_job_is_told_at_once() {
    let world = World::idle().await;
    let far = world.install.clock.now().after(Duration::from_secs(400 * 86_400));
    let wrong = JobCall {
        input: json!({"wrong": ["/json"]}),
        timeout: Some(Duration::ZERO),
        run_at: Some(far),
        delay: Some(Duration::from_secs(1)),
        priority: Some(10),
        callback: Some(name("nobody")),
        ordering_key: Some(String::new()),
        max_attempts: Some(0),
        metadata: BTreeMap::from([("k".to_owned(), "v".repeat(513))]),
        ..job("read", &[])
    };
    let error = refused(&world, vec![wrong], None).await;
    let mut found = pointers(&error);
    found.sort_unstable();
    let all = ["callback", "delay_ms", "input/json", "max_attempts", "metadata", "ordering_key", "priority", "run_at"];
    let all: Vec<_> = all.iter().chain(&["timeout_ms"]).map(|field| format!("/{field}")).collect();
    assert_eq!((found, error.status()), (all.iter().map(String::as_str).collect(), 400));
    assert_eq!(refused(&world, vec![], Some("/jobs")).await.field_errors()[0].pointer, "/jobs");
    let unknown = JobCall { connector: name("erp"), ..job("read", &[]) };
    assert_eq!(refused(&world, vec![unknown], None).await.code(), "connector_not_found");
    assert_eq!(refused(&world, vec![job("delete", &[])], None).await.code(), "operation_not_found");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let world = World::idle().await;
    let mut jobs: Vec<_> = (0..5).map(|_| job("read", &["ok"])).collect();
    jobs[3].input = json!({"wrong": ["/path"]});
    jobs[4].priority = Some(11);
    let error = refused(&world, jobs, Some("/jobs")).await;
    assert_eq!(pointers(&error), ["/jobs/3/input/path", "/jobs/4/priority"]);
    assert!(world.events(&[EventType::JobQueued]).await.is_empty());
    let too_many = vec![job("read", &["ok"]); 1_001];
    assert_eq!(pointers(&refused(&world, too_many, Some("/jobs")).await), ["/jobs"]);
    let accepted = submit(&world.engine, &world.shop, vec![job("read", &["ok"]); 1_000]).await;
    assert_eq!(accepted.jobs.len(), 1_000);
    assert_eq!(world.events(&[EventType::JobQueued]).await.len(), 1_000);
}

async fn keyed(engine: &Orchestrator, world: &World, hash: u8) -> Result<Submitted, Error> {
    let key = Some(("key".parse().unwrap(), [hash; 32]));
    engine.jobs().submit(&world.shop, vec![job("read", &["ok"])], key, TraceId::new(), None).await
}

#[tokio::test(start_paused = true)]
async fn inv_08_a_hundred_submissions_under_one_key_make_one_job() {
    let world = World::idle().await;
    let nodes = [world.engine.clone(), world.install.node().await];
    let all = futures_util::future::join_all((0..100).map(|at| keyed(&nodes[at % 2], &world, 1))).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().filter(|one| !one.replayed).count(), 1);
    assert!(all.iter().all(|one| one.jobs == all[0].jobs));
    assert_eq!(world.events(&[EventType::JobQueued]).await.len(), 1);
    let error = keyed(&world.engine, &world, 2).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("idempotency_mismatch", 422));
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_its_time() {
    let world = World::working().await;
    let started = Instant::now();
    let delayed = world.submit(JobCall { delay: Some(Duration::from_secs(600)), ..job("read", &["ok"]) }).await;
    let run_at = world.install.clock.now().after(Duration::from_secs(300));
    let timed = world.submit(JobCall { run_at: Some(run_at), ..job("read", &["ok"]) }).await;
    assert_eq!(world.status(delayed).await, JobStatus::Scheduled);
    assert_eq!(world.ended(timed).await.run_at, run_at);
    assert_eq!(started.elapsed().as_secs(), 300);
    assert_eq!(world.status(delayed).await, JobStatus::Scheduled);
    world.ended(delayed).await;
    assert_eq!(started.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_higher_priority_goes_first() {
    let world = World::idle().await;
    let jobs = [0, 9, 5, 3].map(|priority| JobCall { priority: Some(priority), ..job("read", &["ok"]) });
    let ids: Vec<_> = submit(&world.engine, &world.shop, jobs.to_vec()).await.jobs.iter().map(|job| job.id).collect();
    let worker = world.install.worker(crate::worker::slots(1)).await;
    for id in &ids {
        worker.jobs().get(&world.shop, *id, LONG).await.unwrap();
    }
    let order: Vec<_> = world.script().seen().into_iter().map(|seen| seen.subject).collect();
    assert_eq!(order, [ids[1], ids[2], ids[3], ids[0]].map(|id| id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn inv_10_jobs_of_one_key_run_one_at_a_time_in_order_and_a_retry_holds_the_rest() {
    let world = World::working().await;
    let of_key = |key: &str, steps: &[&str]| JobCall { ordering_key: Some(key.to_owned()), ..job("read", steps) };
    let mut jobs = vec![of_key("a", &["500", "slow:200"]), of_key("a", &["422"])];
    jobs.extend((0..5).map(|_| of_key("a", &["slow:300"])));
    jobs.push(of_key("b", &["slow:10"]));
    let ids: Vec<_> = submit(&world.engine, &world.shop, jobs).await.jobs.iter().map(|job| job.id).collect();
    world.ended(ids[7]).await;
    assert!(!world.status(ids[0]).await.is_terminal(), "another key waits for nobody");
    for id in &ids {
        world.ended(*id).await;
    }
    let order: Vec<_> = world.script().seen().into_iter().map(|seen| seen.subject).collect();
    let of_a: Vec<_> = order.into_iter().filter(|subject| *subject != ids[7].to_string()).collect();
    let wanted: Vec<_> = std::iter::once(ids[0]).chain(ids[..7].iter().copied()).map(|id| id.to_string()).collect();
    assert_eq!(of_a, wanted);
}

async fn dead(world: &World, operation: &str, steps: &[&str]) -> (String, u32, usize) {
    let id = world.submit(job(operation, steps)).await;
    let view = world.ended(id).await;
    assert_eq!(view.status, JobStatus::Dead, "{view:?}");
    let told = world.events(&[EventType::JobDead]).await.pop().unwrap();
    assert_eq!(told.subject, id.to_string());
    (told.data["reason"].as_str().unwrap().to_owned(), view.attempt, world.script().of(id).len())
}

#[tokio::test(start_paused = true)]
async fn a_job_is_retried_with_growing_waits_until_it_succeeds() {
    let world = World::working().await;
    let id = world.submit(job("read", &["500", "hang", "unreachable", "ok"])).await;
    let view = world.ended(id).await;
    assert_eq!((view.status, view.attempt, view.error), (JobStatus::Succeeded, 4, None));
    let at: Vec<_> = world.script().of(id).iter().map(|seen| seen.at).collect();
    let waits: Vec<_> = at.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
    assert_eq!(waits, [1, 4, 9], "1 s; 3 s and the second that the attempt hung; 9 s");
    assert_eq!(world.events(&[EventType::JobRetrying]).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn inv_02_a_job_that_never_succeeds_dies_and_says_of_what() {
    let world = World::working().await;
    assert_eq!(dead(&world, "read", &["500"]).await, ("exhausted".to_owned(), 4, 4));
    assert_eq!(dead(&world, "read", &["422"]).await, ("rejected".to_owned(), 1, 1));
    assert_eq!(dead(&world, "read", &["forbidden"]).await, ("rejected".to_owned(), 1, 1));
    assert_eq!(dead(&world, "write", &["500"]).await, ("not_idempotent".to_owned(), 1, 1));
    assert_eq!(dead(&world, "write", &["unreachable", "hang"]).await, ("not_idempotent".to_owned(), 2, 2));
}

#[tokio::test(start_paused = true)]
async fn inv_19_retries_of_a_job_do_not_multiply_with_those_of_its_policy() {
    let world = World::working().await;
    let wanted = JobCall { max_attempts: Some(2), ..job("read", &["500"]) };
    let id = world.submit(wanted).await;
    assert_eq!(world.ended(id).await.attempt, 2);
    assert_eq!(world.script().of(id).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_may_be_cancelled_while_it_is_queued() {
    let world = World::working().await;
    let id = world.submit(JobCall { delay: Some(LONG), ..job("read", &["ok"]) }).await;
    let cancelled = world.engine.jobs().cancel(&world.shop, id, TraceId::new()).await.unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);
    tokio::time::sleep(2 * LONG).await;
    assert_eq!((world.status(id).await, world.script().count()), (JobStatus::Cancelled, 0));
    let error = world.engine.jobs().cancel(&world.shop, id, TraceId::new()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("job_finished", 409));
    assert_eq!(world.events(&[EventType::JobCancelled]).await.len(), 1);
    let error = world.engine.jobs().cancel(&world.shop, JobId::new(), TraceId::new()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("not_found", 404));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_while_it_runs_keeps_that_outcome() {
    let world = World::working().await;
    let id = world.submit(job("read", &["gate"])).await;
    world.script().reached(1).await;
    world.engine.jobs().cancel(&world.shop, id, TraceId::new()).await.unwrap();
    world.script().open(1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.status(id).await, JobStatus::Cancelled);
    assert!(world.events(&[EventType::JobSucceeded]).await.is_empty());
    assert_eq!(world.engine.health().await.unwrap().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_answers_when_the_job_ends_and_not_later_than_asked() {
    let world = World::working().await;
    let id = world.submit(job("read", &["slow:800"])).await;
    let started = Instant::now();
    let early = world.engine.jobs().get(&world.shop, id, Duration::from_millis(300)).await.unwrap();
    assert_eq!((early.status, started.elapsed()), (JobStatus::Running, Duration::from_millis(300)));
    world.ended(id).await;
    assert_eq!(started.elapsed().as_millis() / 10, 80);
    let never = world.submit(JobCall { delay: Some(LONG), ..job("read", &["ok"]) }).await;
    let forever = world.engine.jobs().get(&world.shop, never, Duration::MAX).await.unwrap();
    assert_eq!(forever.status, JobStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn jobs_are_listed_newest_first_page_by_page() {
    let world = World::idle().await;
    let ids: Vec<_> =
        submit(&world.engine, &world.shop, vec![job("read", &["ok"]); 5]).await.jobs.iter().map(|job| job.id).collect();
    let list = |cursor: Option<String>| {
        let (jobs, shop) = (world.engine.jobs(), world.shop.clone());
        async move { jobs.list(&shop, Some(JobStatus::Queued), Some(name("crm")), cursor.as_deref(), 2).await }
    };
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = list(cursor).await.unwrap();
        found.extend(page.items.iter().map(|job| job.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    found.reverse();
    assert_eq!(found, ids);
    assert_eq!(list(Some("nonsense".to_owned())).await.unwrap_err().code(), "invalid_request");
    let none = world.engine.jobs().list(&world.shop, Some(JobStatus::Dead), None, None, usize::MAX).await.unwrap();
    assert!(none.items.is_empty());
    assert!(world.engine.jobs().list(&workspace("none-dev"), None, None, None, 1).await.is_err());
}

pub fn later(delay: Duration) -> JobCall {
    JobCall { delay: Some(delay), ..job("read", &["ok"]) }
}
