//! The queue in Redis: what a node is started with, what it is refused for, and what the doctor says of it.

use orchestrator_conformance::servers::{RedisOptions, RedisServer, Stop, free_port, postgres};
use serde_json::Value;

use crate::kit::{Install, get};

/// Everything that the doctor says of the queue.
fn said(install: &Install) -> Vec<(String, String)> {
    let done = install.run(&["doctor", "--output", "json"]);
    let findings: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert!(!done.out.contains("c4n4ry"), "{}", done.out);
    let of_the_queue = findings.as_array().unwrap().iter().filter(|finding| finding["check"] == "queue");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_the_queue.map(|finding| (text(&finding["result"]), text(&finding["detail"]))).collect()
}

#[track_caller]
fn finds(install: &Install, result: &str, words: &str) {
    let said = said(install);
    assert!(said.iter().any(|(mark, detail)| mark == result && detail.contains(words)), "{words}: {said:#?}");
}

fn on(url: &str) -> Install {
    Install::with(&[("STORE__URL", &postgres::fresh_database()), ("STORE__MAX_CONNECTIONS", "4"), ("QUEUE__URL", url)])
}

#[test]
fn a_redis_that_is_as_it_should_be_is_told_so() {
    let redis = RedisServer::shared();
    let install = on(&redis.url());
    // How fast it answers is told too, and the machine may be busy.
    let well = |(mark, detail): &(String, String)| mark == "ok" || detail.contains("Redis answers in ");
    let said = said(&install);
    assert!(said.len() == 3 && said.iter().all(well), "{said:#?}");
    finds(&install, "ok", "Redis 7.");
    finds(&Install::new(), "ok", "the store hands out jobs by itself");
    let node = install.serve();
    assert_eq!(get(&node.ops, "/readyz").0, 200);
    assert!(get(&node.ops, "/metrics").1.contains("orchestrator_hint_queue_up 1"));
}

#[test]
fn a_redis_that_evicts_or_is_almost_full_is_warned_of() {
    let options = RedisOptions::default().setting("maxmemory", "64mb").setting("maxmemory-policy", "allkeys-lru");
    let redis = RedisServer::start_with(&options);
    let install = on(&redis.url());
    finds(&install, "warn", "set it to `noeviction`");
    let _ = redis.command(&["config", "set", "maxmemory", "1"]);
    let _ = redis.command(&["config", "set", "maxmemory-policy", "noeviction"]);
    finds(&install, "warn", "of its `maxmemory`: give it more");
    finds(&install, "fail", "Redis takes no writes");
    let _ = redis.command(&["config", "set", "maxmemory", "0"]);
    let _ = redis.command(&["replicaof", "127.0.0.1", "1"]);
    finds(&install, "warn", "is a replica: name the primary");
}

#[test]
fn a_wrong_password_stops_the_start_and_an_absent_redis_does_not() {
    let options = RedisOptions { password: Some("open-sesame".to_owned()), ..RedisOptions::default() };
    let redis = RedisServer::start_with(&options);
    let wrong = on(&redis.url().replace("open-sesame", "c4n4ry"));
    let line = wrong.run(&["serve"]).refused();
    assert!(line.contains("password") && !line.contains("c4n4ry"), "{line}");
    finds(&wrong, "fail", "password");
    let nobody = on(&format!("redis://:c4n4ry@127.0.0.1:{}", free_port()));
    let node = nobody.serve();
    assert_eq!(get(&node.ops, "/readyz").0, 200, "it works without");
    finds(&nobody, "fail", "nodes work without it");
    assert!(!node.said().contains("c4n4ry"), "{}", node.said());
}

#[test]
fn a_node_stays_ready_while_redis_hangs() {
    let redis = RedisServer::start();
    let install = on(&redis.url());
    let node = install.serve();
    redis.pause();
    assert_eq!(get(&node.ops, "/readyz").0, 200);
    let metrics = get(&node.ops, "/metrics").1;
    assert!(metrics.contains("orchestrator_store_up 1"), "{metrics}");
    redis.resume();
    redis.stop(Stop::Fast);
    assert_eq!(get(&node.ops, "/readyz").0, 200);
}
