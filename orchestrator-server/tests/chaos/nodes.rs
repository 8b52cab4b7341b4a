//! What several nodes owe each other: lost workers' jobs are taken over, and what is asked of two nodes at once is done once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use orchestrator_client::{Client, EventQuery, WebhookOutcome};
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_types::{EventType, ExecuteRequest, JobId, JobRequest, JobStatus};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::install::{Install, LEASE, STRIPE_SECRET};
use crate::product::World;

const PATIENCE: Duration = Duration::from_secs(60);
/// How many jobs there are: more than one worker takes at once, so that both have some.
const JOBS: usize = 96;

fn job(number: usize) -> JobRequest {
    serde_json::from_value(json!({
        "connector": "up", "operation": "request", "input": {"method": "GET", "path": format!("/{number}")},
    }))
    .unwrap()
}

async fn submit(exec: &Client, jobs: usize) -> Vec<JobId> {
    let one = |number: usize| async move { exec.submit(&job(number)).await.unwrap().id };
    stream::iter((0..jobs).map(one)).buffer_unordered(16).collect().await
}

/// How often each job has come to an end.
async fn ends(exec: &Client) -> BTreeMap<String, usize> {
    let (mut ends, mut query) = (BTreeMap::new(), EventQuery { limit: Some(500), ..EventQuery::default() });
    loop {
        let page = exec.events(&query).await.unwrap();
        for event in &page.items {
            if matches!(event.kind, EventType::JobSucceeded | EventType::JobDead | EventType::JobCancelled) {
                *ends.entry(event.subject.clone()).or_default() += 1;
            }
        }
        match page.items.last() {
            Some(last) => query.after = Some(last.id),
            None => return ends,
        }
    }
}

/// Both workers have jobs in their hands, which the upstream does not let go of.
async fn held(install: &Install, world: &World, exec: &Client) -> Vec<JobId> {
    world.hold(true);
    let ids = submit(exec, JOBS).await;
    let until = Instant::now() + PATIENCE;
    for worker in &install.nodes[2..] {
        while worker.metric("orchestrator_worker_running").await < 1.0 {
            assert!(Instant::now() < until, "{} has no job", worker.name);
            sleep(Duration::from_millis(5)).await;
        }
    }
    ids
}

async fn all_succeed(exec: &Client, ids: &[JobId], patience: Duration) {
    let until = Instant::now() + patience;
    for id in ids {
        let left = until.saturating_duration_since(Instant::now());
        let job = exec.wait_for_job(*id, left).await.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
    }
    let ends = ends(exec).await;
    assert!(ids.iter().all(|id| ends.get(&id.to_string()) == Some(&1)), "not one end each: {ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_02_the_jobs_of_a_worker_that_died_run_elsewhere_within_its_lease_and_ten_seconds() {
    let (world, install) = (World::start().await, Install::start().await);
    let tenants = install.onboard(&world, &["lost-dev"]).await;
    let exec = &tenants[0].execs[0];
    let ids = held(&install, &world, exec).await;
    install.nodes[2].kill();
    world.hold(false);
    all_succeed(exec, &ids, LEASE + Duration::from_secs(10)).await;
    let mut lost = 0.0;
    for node in install.nodes.iter().filter(|node| node.id().is_some()) {
        lost += node.metric("orchestrator_worker_lost_leases_total").await;
    }
    assert!(lost >= 1.0, "no lost lease was counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_03_a_worker_that_was_stopped_past_its_leases_changes_nothing_when_it_goes_on() {
    let (world, install) = (World::start().await, Install::start().await);
    let tenants = install.onboard(&world, &["late-dev"]).await;
    let exec = &tenants[0].execs[0];
    let ids = held(&install, &world, exec).await;
    install.nodes[2].pause();
    world.hold(false);
    all_succeed(exec, &ids, LEASE * 3 + Duration::from_secs(10)).await;
    install.nodes[2].resume();
    // It has had the answers to its calls since it was stopped, and takes work again.
    install.nodes[2].until(true).await;
    all_succeed(exec, &submit(exec, JOBS).await, PATIENCE).await;
    all_succeed(exec, &ids, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_07_a_webhook_that_comes_to_two_nodes_a_hundred_times_at_once_is_one() {
    let (world, install) = (World::start().await, Install::with_queue().await);
    let tenants = install.onboard(&world, &["same-dev"]).await;
    let body = json!({"id": "evt_1", "type": "invoice.paid", "account": tenants[0].account});
    let body = Bytes::from(serde_json::to_vec(&body).unwrap());
    let send = |number: usize| {
        let (exec, body) = (&tenants[0].execs[number % 2], body.clone());
        async move {
            let secret = Secret::new(STRIPE_SECRET.to_owned());
            let fixture = Fixture::new(&body, "evt_1");
            let headers = provider("stripe").unwrap().sign(&fixture, &secret, SystemClock.now()).unwrap();
            match exec.send_webhook(&"stripe".parse().unwrap(), None, headers, body).await.unwrap().outcome {
                WebhookOutcome::Accepted(accepted) => (accepted.id.to_string(), accepted.duplicate),
                other => panic!("{other:?}"),
            }
        }
    };
    let told: Vec<_> = stream::iter((0..100).map(send)).buffer_unordered(50).collect().await;
    let ids: BTreeSet<&String> = told.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), told.iter().filter(|(_, duplicate)| !duplicate).count()), (1, 1), "{told:?}");
    let until = Instant::now() + PATIENCE;
    while world.with(|received| received.confirmed.is_empty()) {
        assert!(Instant::now() < until, "it never reached the product");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.with(|received| received.bodies.len()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_08_a_hundred_callers_with_one_key_on_two_nodes_make_one_call() {
    let (world, install) = (World::start().await, Install::with_queue().await);
    let tenants = install.onboard(&world, &["once-dev"]).await;
    let call: ExecuteRequest = serde_json::from_value(json!({
        "connector": "up", "operation": "request", "input": {"method": "POST", "path": "/once", "json": {"amount": 5}},
    }))
    .unwrap();
    let ask = |number: usize| {
        let (exec, call) = (&tenants[0].execs[number % 2], &call);
        async move {
            let answer = exec.execute(call).idempotency_key("order-42".parse().unwrap()).await.unwrap();
            (answer.id.to_string(), serde_json::to_value(&answer.output).unwrap())
        }
    };
    let answers: Vec<(String, Value)> = stream::iter((0..100).map(ask)).buffer_unordered(50).collect().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(world.calls(), 1, "it was called more than once");
}
