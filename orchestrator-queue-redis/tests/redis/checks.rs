//! What a look finds, and what stops a start: one line each, that says what to do and no password.

use std::time::Duration;

use orchestrator_conformance::servers::{RedisOptions as ServerOptions, RedisServer};
use orchestrator_core::queue::{Finding, JobQueue, Level};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_queue_redis::{RedisOptions, RedisQueue};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::world::World;

async fn started(options: ServerOptions) -> RedisServer {
    tokio::task::spawn_blocking(move || RedisServer::start_with(&options)).await.unwrap()
}

async fn found(server: &RedisServer) -> Vec<Finding> {
    let parts = RedisQueue::connect(&RedisOptions::parse(&server.url(), "dev").unwrap()).await.unwrap();
    parts.queue.check().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_redis_is_good_in_every_line() {
    let server = started(ServerOptions::default()).await;
    let found = found(&server).await;
    let good = found.iter().filter(|finding| finding.level == Level::Good);
    // A machine under test may answer slowly.
    assert!(good.count() >= 2 && found.len() == 3, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_is_warned_of() {
    let settings = ServerOptions::default().setting("maxmemory", "64mb").setting("maxmemory-policy", "allkeys-lru");
    let found = found(&started(settings).await).await;
    let warned = found.iter().find(|finding| finding.line.contains("noeviction")).expect("a warning");
    assert_eq!(warned.level, Level::Warning);
    assert!(warned.line.contains("allkeys-lru"), "{}", warned.line);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_and_a_redis_that_takes_no_writes_are_found() {
    let server = started(ServerOptions::default()).await;
    let options = RedisOptions::parse(&server.url(), "dev").unwrap();
    let parts = RedisQueue::connect(&options).await.unwrap();
    let _ = server.command(&["replicaof", "127.0.0.1", "1"]);
    let found = parts.queue.check().await.unwrap();
    assert!(found.iter().any(|finding| finding.line.contains("replica: name the primary")), "{found:?}");
    let bad = found.iter().find(|finding| finding.level == Level::Bad).expect("it cannot be written to");
    assert!(bad.line.contains("read-only"), "{}", bad.line);
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_23_a_wrong_password_stops_the_start_in_one_line_that_does_not_name_it() {
    let server =
        started(ServerOptions { password: Some("the-right-one".to_owned()), ..ServerOptions::default() }).await;
    for login in ["", ":the-wrong-one@", "ada:the-wrong-one@"] {
        let url = format!("redis://{login}127.0.0.1:{}", server.port());
        let said = match RedisQueue::connect(&RedisOptions::parse(&url, "dev").unwrap()).await {
            Ok(_) => panic!("{login} is let in"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(said.contains("password") && !said.contains('\n') && !said.contains("the-wrong-one"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_does_not_stop_the_start_and_is_found_when_asked() {
    let port = orchestrator_conformance::servers::free_port();
    let started = Instant::now();
    let parts =
        RedisQueue::connect(&RedisOptions::parse(&format!("redis://127.0.0.1:{port}"), "dev").unwrap()).await.unwrap();
    let said = parts.queue.check().await.unwrap_err().to_string();
    assert!(said.starts_with("the queue is away: ") && !said.contains('\n'), "{said}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_only_what_the_page_says_is_enough() {
    let mut world = World::new(json!({"rate_limit": {"per_second": 1_000, "burst": 100}})).await;
    let page = include_str!("../../../docs/operating/redis.md");
    let rules = page.split("`ACL SETUSER orchestrator on >password ").nth(1).unwrap().split('`').next().unwrap();
    let rules: Vec<String> = rules.split_whitespace().map(str::to_owned).collect();
    let set = move |server: &RedisServer| {
        let mut words = vec!["acl", "setuser", "orchestrator", "on", ">password"];
        words.extend(rules.iter().map(String::as_str));
        assert!(server.command(&words).contains("OK"));
    };
    world.to_server(set).await;
    world.login = "orchestrator:password@".to_owned();
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let worker = world.node(Some(WorkerOptions::default())).await;
    let jobs = world.submit(&front, 0..50, 0).await;
    world.all_succeed(&worker, &jobs).await;
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let found = worker.redis.queue.check().await.unwrap();
        // A machine under test may answer slowly.
        let sound = |finding: &Finding| finding.level == Level::Good || finding.line.contains("answers in");
        if found.iter().all(sound) {
            break;
        }
        assert!(Instant::now() < until, "{found:?}");
        sleep(Duration::from_millis(20)).await;
    }
    front.redis.queue.forget(&world.shop).await.unwrap();
    assert!(world.serves(&front).await && world.serves(&worker).await);
    // Somebody else's keys are not to be had.
    let denied = world.to_server(|server| server.command(&["acl", "dryrun", "orchestrator", "get", "another"])).await;
    assert!(denied.contains("no permissions") || denied.contains("NOPERM"), "{denied}");
}
