//! Redis is flushed, restarted, killed, paused, full, and lied into, under load: nothing that was accepted is lost or done twice,
//! and consumers come back by themselves.

use std::time::Duration;

use orchestrator_conformance::servers::{RedisCluster, RedisOptions as ServerOptions, RedisServer, Stop};
use orchestrator_core::queue::{JobHint, JobQueue, SeenKeys, Take};
use orchestrator_core::store::KeyRoute;
use orchestrator_core::types::{JobId, Timestamp};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_queue_redis::{RedisOptions, RedisQueue};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::world::{Node, World};

/// Consumers come back within this.
const BACK: Duration = Duration::from_secs(10);

/// Two nodes that accept and one that works; `fault` strikes while jobs come and are done, `times` times.
async fn under(fault: impl Fn(&RedisServer) + Clone + Send + 'static, times: u64) {
    let world = World::new(json!({})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let worker = world.node(Some(WorkerOptions { slots: 32, ..WorkerOptions::default() })).await;
    let mut jobs = Vec::new();
    for round in 0..times {
        jobs.extend(world.submit(&front, round * 100..round * 100 + 50, 5).await);
        world.to_server(fault.clone()).await;
        // Accepted whatever Redis does.
        jobs.extend(world.submit(&front, round * 100 + 50..round * 100 + 100, 5).await);
    }
    let struck = Instant::now();
    world.all_succeed(&worker, &jobs).await;
    assert!(struck.elapsed() < BACK, "{:?} after the last", struck.elapsed());
    let all = jobs.len();
    assert_eq!(world.upstream.count(), (all, all), "each once");
    resumes(&world, &front, &worker).await;
}

/// Hints are followed again: a job that another node accepted starts sooner than anybody would look by itself.
async fn resumes(world: &World, front: &Node, worker: &Node) {
    let until = Instant::now() + BACK;
    while !(world.serves(front).await && world.serves(worker).await) {
        assert!(Instant::now() < until, "the queue does not come back");
        sleep(Duration::from_millis(50)).await;
    }
    let mut number = 1_000_000;
    loop {
        // It looks by itself each second or so: three in a row that soon are no chance.
        let started = Instant::now();
        for _ in 0..3 {
            number += 1;
            let job = world.submit(front, number..number + 1, 0).await;
            world.all_succeed(front, &job).await;
        }
        if started.elapsed() < Duration::from_millis(500) {
            return;
        }
        assert!(Instant::now() < until, "hints are not followed again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_a_redis_that_is_flushed_loses_nothing() {
    under(RedisServer::flush, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_a_redis_that_is_restarted_loses_nothing() {
    let restart = |server: &RedisServer| {
        server.stop(Stop::Fast);
        server.start_again();
    };
    under(restart, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_a_redis_that_is_killed_and_stays_away_for_a_while_loses_nothing() {
    let kill = |server: &RedisServer| {
        server.kill();
        std::thread::sleep(Duration::from_secs(1));
        server.start_again();
    };
    under(kill, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_34_a_redis_that_hangs_hangs_nobody() {
    let hang = |server: &RedisServer| {
        server.pause();
        std::thread::sleep(Duration::from_secs(3));
        server.resume();
    };
    under(hang, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_scripts_that_were_forgotten_are_sent_again() {
    under(|server| drop(server.command(&["script", "flush", "sync"])), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_a_redis_that_becomes_read_only_loses_nothing() {
    let read_only = |server: &RedisServer| {
        // A replica of nobody: it refuses writes.
        let _ = server.command(&["replicaof", "127.0.0.1", "1"]);
        std::thread::sleep(Duration::from_millis(500));
        let _ = server.command(&["replicaof", "no", "one"]);
    };
    under(read_only, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_a_redis_that_is_away_for_long_is_done_without() {
    let world = World::new(json!({})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let worker = world.node(Some(WorkerOptions::default())).await;
    world.to_server(RedisServer::kill).await;
    let started = Instant::now();
    let jobs = world.submit(&front, 0..500, 0).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?} to accept", started.elapsed());
    world.all_succeed(&worker, &jobs).await;
    assert!(started.elapsed() < BACK, "{:?}", started.elapsed());
    assert!(!world.serves(&worker).await);
    // A node that starts while it is away starts.
    let late = world.node(Some(WorkerOptions::default())).await;
    let jobs = world.submit(&late, 500..600, 0).await;
    world.all_succeed(&late, &jobs).await;
    world.to_server(RedisServer::start_again).await;
    resumes(&world, &front, &late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_a_redis_that_is_full_loses_nothing() {
    let options = ServerOptions::default().setting("maxmemory", "3mb").setting("maxmemory-policy", "noeviction");
    let world = World::on(&options, json!({})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let worker = world.node(Some(WorkerOptions { slots: 32, ..WorkerOptions::default() })).await;
    let before = world.submit(&front, 0..20, 0).await;
    world.all_succeed(&worker, &before).await;
    world.to_server(fill).await;
    let started = Instant::now();
    let jobs = world.submit(&front, 20..320, 1).await;
    world.all_succeed(&worker, &jobs).await;
    assert!(started.elapsed() < BACK, "{:?}", started.elapsed());
    let found = worker.redis.queue.check().await.unwrap();
    assert!(
        found.iter().any(|finding| finding.line.contains("full") || finding.line.contains("maxmemory")),
        "{found:?}"
    );
    world.to_server(|server| drop(server.command(&["del", "ballast"]))).await;
    resumes(&world, &front, &worker).await;
    assert_eq!(world.upstream.count().0, world.upstream.count().1, "each once");
}

/// Fills the server until it refuses to take more.
fn fill(server: &RedisServer) {
    let script = "for i = 1, 100000 do local r = redis.pcall('APPEND', KEYS[1], string.rep('x', 1000)) \
        if type(r) == 'table' then return 'full' end end return 'not full'";
    assert!(server.command(&["eval", script, "1", "ballast"]).contains("full"));
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_05_forged_hints_and_damaged_keys_run_nothing() {
    let world = World::new(json!({})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let worker = world.node(Some(WorkerOptions::default())).await;
    let done = world.submit(&front, 0..1, 0).await;
    world.all_succeed(&worker, &done).await;
    let now = Timestamp::from_unix_ms(0);
    let hint = |workspace: &str, job| JobHint {
        workspace: workspace.parse().unwrap(),
        job,
        delivery: false,
        target: Some("crm".parse().unwrap()),
        priority: 9,
        run_at: now,
    };
    let mut forged: Vec<_> = (0..2_000).map(|number| hint(&format!("shop{}-dev", number % 50), JobId::new())).collect();
    forged.extend([hint("shop-dev", done[0]), hint("other-dev", done[0]), hint("shop-prod", done[0])]);
    front.redis.queue.offer(&forged).await.unwrap();
    // What nobody of us wrote: members and keys that mean nothing.
    let garbage = |server: &RedisServer| {
        let _ =
            server.command(&["zadd", "orchestrator:{dev/0}:turn", "0", "NOT a workspace", "0", "", "0", "shop-dev"]);
        let _ = server.command(&["sadd", "orchestrator:{dev/0}:lanes:NOT a workspace", "nonsense", "call:UPPER", ""]);
        let _ = server.command(&["zadd", "orchestrator:{dev/0}:due:NOT a workspace|nonsense", "1e300", "x", "-5", "y"]);
        let _ = server.command(&["zadd", "orchestrator:{dev/0}:later", "0", "||", "1", "a|b", "2", "nothing"]);
        let _ = server.command(&["set", "orchestrator:{dev/0}:round", "3"]);
    };
    world.to_server(garbage).await;
    let real = world.submit(&front, 1..50, 0).await;
    world.all_succeed(&worker, &real).await;
    let until = Instant::now() + BACK;
    while worker.redis.queue.depth().await.unwrap() > 0 {
        assert!(Instant::now() < until, "what is forged stays");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.upstream.count(), (50, 50));
    // A key of another type is an error, and not the end.
    world.to_server(|server| drop(server.command(&["set", "orchestrator:{dev/0}:turn", "a string"]))).await;
    let more = world.submit(&front, 50..100, 0).await;
    world.all_succeed(&worker, &more).await;
    assert_eq!(world.upstream.count(), (100, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_23_nothing_but_ids_and_names_lies_in_redis() {
    let world = World::new(json!({})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let canary = "canary-of-a-payload";
    let mut held = crate::world::job(json!({"number": 1, "secret": canary}));
    held.metadata.insert("note".to_owned(), canary.to_owned());
    held.ordering_key = Some(canary.to_owned());
    let trace = orchestrator_core::types::TraceId::new();
    front.engine.jobs().submit(&world.shop, vec![held], None, trace, Some("/jobs")).await.unwrap();
    let until = Instant::now() + BACK;
    while front.redis.queue.depth().await.unwrap() == 0 {
        assert!(Instant::now() < until, "nothing is offered");
        sleep(Duration::from_millis(10)).await;
    }
    let dump = world
        .to_server(|server| {
            // What is planted is found.
            let _ = server.command(&["set", "planted", "canary-that-was-planted"]);
            let mut dump = String::new();
            for key in server.command(&["keys", "*"]).lines() {
                let key = key.trim();
                dump += key;
                dump += &match server.command(&["type", key]).trim() {
                    "zset" => server.command(&["zrange", key, "0", "-1", "withscores"]),
                    "set" => server.command(&["smembers", key]),
                    _ => server.command(&["get", key]),
                };
            }
            dump
        })
        .await;
    assert!(dump.contains("canary-that-was-planted") && dump.contains("shop-dev"), "{dump}");
    assert!(!dump.contains(canary) && !dump.contains(&trace.to_string()), "{dump}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_37_everything_in_redis_goes_by_itself() {
    let world = World::new(json!({"rate_limit": {"per_second": 1_000.0, "burst": 10}})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    world.submit(&front, 0..20, 0).await;
    let worker = world.node(Some(WorkerOptions::default())).await;
    let mut later = crate::world::job(json!({"number": 100}));
    later.delay = Some(Duration::from_secs(600));
    let trace = orchestrator_core::types::TraceId::new();
    worker.engine.jobs().submit(&world.shop, vec![later], None, trace, Some("/jobs")).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let lasting = world
        .to_server(|server| {
            let keys = server.command(&["keys", "*"]);
            let lives = |key: &str| server.command(&["ttl", key]).trim().parse::<i64>().unwrap();
            let lasting: Vec<_> = keys.lines().filter(|key| lives(key.trim()) == -1).map(str::to_owned).collect();
            (keys.lines().count(), lasting)
        })
        .await;
    assert!(lasting.0 >= 3, "there are keys to be looked at");
    assert_eq!(lasting.1, Vec::<String>::new(), "these would stay for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_22_answers_reach_whom_they_are_for_however_many_calls_are_cut() {
    let world = World::new(json!({})).await;
    let node = world.node(None).await;
    let queue = &node.redis.queue;
    let hint = |number: u64| JobHint {
        workspace: format!("shop{}-dev", number % 2).parse().unwrap(),
        job: JobId::new(),
        delivery: false,
        target: None,
        priority: 5,
        run_at: Timestamp::from_unix_ms(0),
    };
    for number in 0..1_000_u64 {
        queue.offer(&[hint(number)]).await.unwrap();
        let full = vec![format!("shop{}-dev", (number + 1) % 2).parse().unwrap()];
        let take = Take { max: 10, per_workspace: 10, full: full.clone(), ..Take::default() };
        let cut = tokio::time::timeout(Duration::from_micros(fastrand::u64(..1_500)), queue.take(&take)).await;
        let taken = match cut {
            Ok(taken) => taken.unwrap(),
            Err(_) => queue.take(&take).await.unwrap(),
        };
        assert!(taken.iter().all(|hint| !full.contains(&hint.workspace)), "an answer of another call");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_08_a_key_that_one_node_used_is_known_to_another_and_a_hung_redis_holds_nobody_up() {
    let world = World::new(json!({})).await;
    let (one, other) = (world.node(None).await, world.node(None).await);
    world.import(&one, &world.shop).await;
    let key: orchestrator_core::types::IdempotencyKey = "a-canary-of-a-key".parse().unwrap();
    let submit = async |node: &Node, hash: u8| {
        let jobs = vec![crate::world::job(json!({"number": 1}))];
        let idempotency = Some((key.clone(), [hash; 32]));
        let trace = orchestrator_core::types::TraceId::new();
        node.engine.jobs().submit(&world.shop, jobs, idempotency, trace, Some("/jobs")).await
    };
    let first = submit(&one, 1).await.unwrap();
    let seen = async || other.redis.seen_keys.seen(&world.shop, KeyRoute::Jobs, &key).await;
    let until = Instant::now() + BACK;
    while !seen().await {
        assert!(Instant::now() < until, "the other never hears of it");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(!other.redis.seen_keys.seen(&world.shop, KeyRoute::Execute, &key).await);
    assert!(!world.to_server(|server| server.command(&["keys", "*"])).await.contains("canary"));
    let again = submit(&other, 1).await.unwrap();
    assert!(again.replayed && again.jobs[0].id == first.jobs[0].id);
    assert_eq!(submit(&other, 2).await.unwrap_err().code(), "idempotency_mismatch");
    world.to_server(RedisServer::pause).await;
    let started = Instant::now();
    for _ in 0..50 {
        assert!(submit(&other, 1).await.unwrap().replayed, "the store knows");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?} for fifty", started.elapsed());
    world.to_server(RedisServer::resume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_34_a_cluster_that_loses_a_node_says_so_soon_and_serves_again_when_it_is_back() {
    let cluster = tokio::task::spawn_blocking(RedisCluster::start).await.unwrap();
    let hosts: Vec<_> = cluster.nodes().iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let options = RedisOptions::parse(&format!("redis://{}", hosts.join(",")), "dev").unwrap();
    let parts = RedisQueue::connect(&options).await.unwrap();
    let hints: Vec<_> = (0..100)
        .map(|number| JobHint {
            workspace: format!("shop{number}-dev").parse().unwrap(),
            job: JobId::new(),
            delivery: false,
            target: None,
            priority: 5,
            run_at: Timestamp::from_unix_ms(0),
        })
        .collect();
    parts.queue.offer(&hints).await.unwrap();
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.nodes()[1].kill();
        cluster
    });
    let cluster = cluster.await.unwrap();
    let asked = Instant::now();
    parts.queue.offer(&hints).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.nodes()[1].start_again();
        cluster
    });
    let _cluster = cluster.await.unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while parts.queue.offer(&hints).await.is_err() {
        assert!(Instant::now() < until, "it does not serve again");
        sleep(Duration::from_millis(100)).await;
    }
    let taken = parts.queue.take(&Take { max: 200, per_workspace: 10, ..Take::default() }).await.unwrap();
    assert_eq!(taken.len(), 100);
}
