//! Work by hints: the queue may forget, lie, hang and come back; what was accepted is done, each once, and nothing spins.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::clock::Clock;
use orchestrator_core::queue::{Finding, JobHint, JobQueue, MemoryQueue, QueueAway, SeenKeys, Take};
use orchestrator_core::store::{Around, AroundCall, KeyRoute, StoreCall, StoreError};
use orchestrator_core::types::{EventType, IdempotencyKey, JobId, JobStatus, TraceId, WorkspaceId};
use orchestrator_core::worker::WorkerOptions;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::fixture::{Install, LONG, World, config, job, submit, workspace};
use crate::jobs::later;

/// A queue that can be taken away, and counts what it is asked.
struct Place {
    queue: MemoryQueue,
    away: AtomicBool,
    hangs: AtomicBool,
    taken: AtomicUsize,
    takes: AtomicUsize,
}

impl Place {
    async fn there(&self) -> Result<(), QueueAway> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.away.load(Ordering::SeqCst) { Err(QueueAway::new("taken away")) } else { Ok(()) }
    }
}

#[async_trait]
impl JobQueue for Place {
    async fn offer(&self, hints: &[JobHint]) -> Result<(), QueueAway> {
        self.there().await?;
        self.queue.offer(hints).await
    }

    async fn take(&self, take: &Take) -> Result<Vec<JobHint>, QueueAway> {
        self.takes.fetch_add(1, Ordering::SeqCst);
        self.there().await?;
        let taken = self.queue.take(take).await?;
        self.taken.fetch_add(taken.len(), Ordering::SeqCst);
        Ok(taken)
    }

    async fn forget(&self, workspace: &WorkspaceId) -> Result<(), QueueAway> {
        self.queue.forget(workspace).await
    }

    async fn depth(&self) -> Result<u64, QueueAway> {
        self.there().await?;
        self.queue.depth().await
    }

    async fn check(&self) -> Result<Vec<Finding>, QueueAway> {
        self.queue.check().await
    }
}

/// A world with a queue; the first node accepts jobs, and runs them if it has a worker.
async fn world(worker: Option<WorkerOptions>, changes: Value) -> (World, Arc<Place>) {
    let mut install = Install::new();
    let place = Arc::new(Place {
        queue: MemoryQueue::new(install.clock.shared()),
        away: AtomicBool::default(),
        hangs: AtomicBool::default(),
        taken: AtomicUsize::default(),
        takes: AtomicUsize::default(),
    });
    install.queue = Some(place.clone());
    (World::on(install, worker, config("shop-dev", changes)).await, place)
}

async fn all_succeed(world: &World, ids: impl IntoIterator<Item = JobId>) {
    for id in ids {
        let view = world.ended(id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1), "{view:?}");
    }
}

fn ids(submitted: orchestrator_core::jobs::Submitted) -> Vec<JobId> {
    submitted.jobs.iter().map(|job| job.id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_node_accepted_starts_at_once() {
    let (world, place) = world(None, json!({})).await;
    let _worker = world.install.worker(WorkerOptions::default()).await;
    sleep(Duration::from_millis(1_700)).await;
    let started = Instant::now();
    let id = world.submit(job("read", &["ok"])).await;
    all_succeed(&world, [id]).await;
    assert!(started.elapsed() < Duration::from_millis(20), "{:?}", started.elapsed());
    assert_eq!(place.taken.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn retries_schedules_and_successors_come_by_hints_in_time() {
    let (world, place) = world(Some(WorkerOptions::default()), json!({})).await;
    let started = Instant::now();
    let retried = world.submit(job("read", &["500", "ok"])).await;
    let scheduled = world.submit(later(Duration::from_millis(3_300))).await;
    assert_eq!(world.ended(retried).await.attempt, 2);
    assert!(started.elapsed() < Duration::from_millis(1_100), "{:?}", started.elapsed());
    all_succeed(&world, [scheduled]).await;
    assert!((3_300..3_400).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!(place.taken.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn inv_05_a_queue_that_forgets_everything_loses_nothing() {
    let (world, place) = world(Some(WorkerOptions { slots: 16, ..WorkerOptions::default() }), json!({})).await;
    let jobs = ids(submit(&world.engine, &world.shop, vec![job("write", &["slow:50"]); 1_000]).await);
    for _ in 0..10 {
        sleep(Duration::from_millis(200)).await;
        place.queue.lose();
    }
    let started = Instant::now();
    all_succeed(&world, jobs).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(world.script().count(), 1_000, "nothing was sent twice");
}

#[tokio::test(start_paused = true)]
async fn inv_05_while_the_queue_is_away_the_store_serves_and_it_comes_back_by_itself() {
    let (world, place) = world(Some(WorkerOptions::default()), json!({})).await;
    let away: [&dyn Fn(bool); 2] =
        [&|is| place.away.store(is, Ordering::SeqCst), &|is| place.hangs.store(is, Ordering::SeqCst)];
    for take_away in away {
        take_away(true);
        let started = Instant::now();
        let first = world.submit(job("write", &["ok"])).await;
        all_succeed(&world, [first]).await;
        assert!(started.elapsed() < Duration::from_secs(9), "{:?} until it was found out", started.elapsed());
        assert!(world.engine.health().await.unwrap().queue_away);
        let started = Instant::now();
        let jobs = ids(submit(&world.engine, &world.shop, vec![job("write", &["slow:10"]); 300]).await);
        all_succeed(&world, jobs).await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?} without it", started.elapsed());
        let asked = place.takes.load(Ordering::SeqCst);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(place.takes.load(Ordering::SeqCst), asked, "who is away is not taken from");
        take_away(false);
        sleep(Duration::from_secs(5)).await;
        assert!(!world.engine.health().await.unwrap().queue_away);
        let taken = place.taken.load(Ordering::SeqCst);
        let jobs = ids(submit(&world.engine, &world.shop, vec![job("write", &["ok"]); 10]).await);
        all_succeed(&world, jobs).await;
        assert!(place.taken.load(Ordering::SeqCst) > taken, "hints are followed again");
    }
}

#[tokio::test(start_paused = true)]
async fn inv_05_forged_hints_run_nothing() {
    let (world, place) = world(Some(WorkerOptions::default()), json!({})).await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    let done = world.submit(job("write", &["ok"])).await;
    all_succeed(&world, [done]).await;
    let cancelled = world.submit(later(Duration::from_secs(50))).await;
    let far = world.submit(later(Duration::from_secs(100))).await;
    world.engine.jobs().cancel(&world.shop, cancelled, TraceId::new()).await.unwrap();
    let now = world.install.clock.now();
    let hint = |workspace: &WorkspaceId, job| JobHint {
        workspace: workspace.clone(),
        job,
        delivery: false,
        target: Some("crm".parse().unwrap()),
        priority: 9,
        run_at: now,
    };
    let mut forged: Vec<_> = (0..500).map(|_| hint(&world.shop, JobId::new())).collect();
    forged.extend([done, cancelled, far].map(|id| hint(&world.shop, id)));
    forged.extend([done, far].map(|id| hint(&mall, id)));
    forged.push(hint(&workspace("nobody-dev"), far));
    for _ in 0..3 {
        place.queue.offer(&forged).await.unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(world.script().count(), 1);
    all_succeed(&world, [far]).await;
    assert_eq!(world.events(&[EventType::JobStarted]).await.len(), 2);
    let waited = world.install.clock.now().since(now);
    assert!(
        (100..102).contains(&waited.as_secs()),
        "{waited:?}: its own hint was overwritten, and it runs all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn inv_05_what_was_forgotten_of_one_workspace_comes_back_although_another_keeps_all_busy() {
    let slots = WorkerOptions { slots: 4, ..WorkerOptions::default() };
    let (world, place) = world(None, json!({})).await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    for _ in 0..5 {
        submit(&world.engine, &world.shop, vec![job("read", &["slow:50"]); 1_000]).await;
    }
    let late = ids(submit(&world.engine, &mall, vec![job("read", &["slow:50"]); 10]).await);
    sleep(Duration::from_millis(10)).await;
    place.queue.forget(&mall).await.unwrap();
    let (started, _worker) = (Instant::now(), world.install.worker(slots).await);
    for id in late {
        assert_eq!(world.engine.jobs().get(&mall, id, LONG).await.unwrap().status, JobStatus::Succeeded);
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(place.queue.depth().await.unwrap() > 3_000, "the other was busy all the time");
}

#[tokio::test(start_paused = true)]
async fn inv_21_hints_of_a_lane_without_room_wait_and_do_not_spin() {
    let limit = json!({"policies": {"default": {"rate_limit": {"per_second": 20.0, "burst": 5}}}});
    let (world, place) = world(Some(WorkerOptions::default()), limit).await;
    let started = Instant::now();
    let jobs = ids(submit(&world.engine, &world.shop, vec![job("write", &["ok"]); 200]).await);
    let free = world.import("mall-dev", config("mall-dev", json!({}))).await;
    let other = ids(submit(&world.engine, &free, vec![job("write", &["ok"]); 20]).await);
    for id in other {
        world.engine.jobs().get(&free, id, LONG).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}: the other waits for nothing", started.elapsed());
    all_succeed(&world, jobs).await;
    let took = started.elapsed();
    assert!((9_700..11_000).contains(&took.as_millis()), "{took:?} for 195 at 20 a second");
    let started_in_vain = world.events(&[EventType::JobStarted]).await.len() - 200;
    assert!(started_in_vain <= 64, "{started_in_vain}");
    let takes = place.takes.load(Ordering::SeqCst);
    assert!(takes < 1_500, "{takes} takes for 220 jobs");
}

#[tokio::test(start_paused = true)]
async fn inv_34_an_idle_node_hardly_asks_anybody() {
    let (_world, place) = world(Some(WorkerOptions::default()), json!({})).await;
    sleep(Duration::from_secs(60)).await;
    let takes = place.takes.load(Ordering::SeqCst);
    assert!(takes < 240, "{takes} takes in a minute");
}

#[tokio::test(start_paused = true)]
async fn inv_14_workspaces_take_turns_by_their_weight() {
    let (world, _place) = world(None, json!({})).await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    for workspace in [&world.shop, &mall] {
        submit(&world.engine, workspace, vec![job("read", &["slow:50"]); 300]).await;
    }
    let weights = Arc::new([(mall.clone(), 3)].into());
    let slots = WorkerOptions { slots: 4, weights, ..WorkerOptions::default() };
    let _worker = world.install.worker(slots).await;
    world.script().reached(200).await;
    let of_mall = world.script().seen()[..200].iter().filter(|seen| seen.workspace == "mall-dev").count();
    assert!((140..=160).contains(&of_mall), "{of_mall} of 200");
}

#[tokio::test(start_paused = true)]
async fn inv_03_of_two_nodes_that_are_hinted_at_the_same_jobs_one_runs_each() {
    let (world, place) = world(Some(WorkerOptions::default()), json!({})).await;
    let _second = world.install.worker(WorkerOptions::default()).await;
    let now = world.install.clock.now();
    let jobs = ids(submit(&world.engine, &world.shop, vec![job("write", &["slow:100"]); 200]).await);
    for _ in 0..5 {
        let again: Vec<_> = jobs
            .iter()
            .map(|id| JobHint {
                workspace: world.shop.clone(),
                job: *id,
                delivery: false,
                target: Some("crm".parse().unwrap()),
                priority: 5,
                run_at: now,
            })
            .collect();
        place.queue.offer(&again).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    all_succeed(&world, jobs).await;
    let sent: BTreeSet<_> = world.script().seen().iter().map(|seen| seen.subject.clone()).collect();
    assert_eq!((world.script().count(), sent.len()), (200, 200));
}

/// Keys that were seen; and liars, that have seen all.
#[derive(Default)]
struct Seen {
    keys: Mutex<BTreeSet<(String, &'static str, String)>>,
    all: bool,
}

#[async_trait]
impl SeenKeys for Seen {
    async fn seen(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) -> bool {
        let named = (workspace.to_string(), route.as_str(), key.to_string());
        self.all || self.keys.lock().unwrap().contains(&named)
    }

    fn note(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) {
        self.keys.lock().unwrap().insert((workspace.to_string(), route.as_str(), key.to_string()));
    }
}

/// Counts what is asked of the store.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<&'static str>>>);

impl Asked {
    fn count(&self, method: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|asked| **asked == method).count()
    }
}

#[async_trait]
impl AroundCall for Asked {
    async fn around<T: Send + 'static>(&self, method: &'static str, call: StoreCall<'_, T>) -> Result<T, StoreError> {
        self.0.lock().unwrap().push(method);
        call.await
    }
}

#[tokio::test(start_paused = true)]
async fn inv_08_a_repeated_request_whose_key_was_seen_is_answered_by_a_read() {
    let world = World::idle().await;
    for all in [false, true] {
        let asked = Asked::default();
        let store = Arc::new(Around::new(world.install.store.clone(), asked.clone()));
        let seen = Arc::new(Seen { all, ..Seen::default() });
        let node = world.install.builder().store(store).seen_keys(seen).build().await.unwrap();
        let submit = async |key: &str, hash: u8| {
            let idempotency = Some((key.parse().unwrap(), [hash; 32]));
            let jobs = vec![job("read", &["ok"])];
            node.jobs().submit(&world.shop, jobs, idempotency, TraceId::new(), Some("/jobs")).await
        };
        let key = format!("k-{all}");
        let first = submit(&key, 1).await.unwrap();
        let again = submit(&key, 1).await.unwrap();
        assert!(!first.replayed && again.replayed && first.jobs[0].id == again.jobs[0].id);
        assert_eq!(submit(&key, 2).await.unwrap_err().code(), "idempotency_mismatch");
        assert_eq!((asked.count("enqueue"), asked.count("kept")), (1, if all { 3 } else { 2 }));
        let call = |hash: u8| orchestrator_core::execute::Call {
            idempotency: Some((key.parse().unwrap(), [hash; 32])),
            ..crate::fixture::call("write", &["ok"])
        };
        let before = world.script().count();
        let first = node.execute(&world.shop, call(1)).await.unwrap();
        let again = node.execute(&world.shop, call(1)).await.unwrap();
        assert!(!first.replayed && again.replayed);
        assert_eq!(node.execute(&world.shop, call(2)).await.unwrap_err().code(), "idempotency_mismatch");
        assert_eq!((world.script().count() - before, asked.count("begin")), (1, 1));
        // A key of another workspace is another's.
        let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
        assert!(!node.execute(&mall, call(1)).await.unwrap().replayed);
    }
}
