//! The client without `async`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use orchestrator_client::mock::MockServer;
use orchestrator_client::{Client, Error, EventFilter, JobFilter, blocking};
use orchestrator_types::{EventType, JobStatus};
use serde_json::json;

use crate::retries::{call, job};

#[test]
fn a_program_without_a_runtime_calls_hands_jobs_over_and_follows_events() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(MockServer::start()).unwrap();
    server.when("billing-api", "request").then(json!({"n": 1}));
    let client = blocking::Client::new(server.url(), "x").unwrap();

    let key = "order-7".parse().unwrap();
    let done = client.execute(&call()).idempotency_key(key).answer().unwrap();
    assert!(done.body.output == json!({"n": 1}) && !done.replayed);
    let id = client.submit(&job()).send().unwrap().id;
    assert_eq!(client.wait_for_job(id, Duration::from_secs(30)).unwrap().status, JobStatus::Succeeded);
    assert_eq!(
        client.jobs(&JobFilter::default()).limit(1).items().map(|job| job.unwrap().id).collect::<Vec<_>>(),
        [id]
    );
    assert_eq!(client.jobs(&JobFilter::default()).page().unwrap().items.len(), 1);
    let filter = EventFilter { kinds: vec![EventType::JobSucceeded], ..EventFilter::default() };
    assert_eq!(client.event_stream(None, filter).next().unwrap().unwrap().subject, id.to_string());
    // Shared by threads: each waits for its own.
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || client.product_config().unwrap().version)
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 1));
}

#[tokio::test]
async fn async_code_is_told_rather_than_blocked() {
    let server = MockServer::start().await.unwrap();
    let client = Client::builder(server.url()).token("x").build_blocking().unwrap();
    for outcome in [client.product_config().map(drop), client.jobs(&JobFilter::default()).page().map(drop)] {
        assert!(matches!(outcome, Err(Error::Invalid(why)) if why.contains("async")), "{outcome:?}");
    }
    let items: Vec<_> = client.jobs(&JobFilter::default()).items().collect();
    assert!(matches!(items[..], [Err(Error::Invalid(_))]));
    assert!(server.requests().is_empty());
    tokio::task::spawn_blocking(move || client.product_config().map(drop)).await.unwrap().unwrap();
}

#[test]
fn every_method_of_the_client_is_there_without_async() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let methods = |files: &mut dyn Iterator<Item = std::path::PathBuf>| -> BTreeSet<String> {
        let text: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines = text.lines().filter_map(|line| {
            let line = line.strip_prefix("    pub fn ").or_else(|| line.strip_prefix("    pub async fn "));
            line.map(str::to_owned)
        });
        lines.map(|line| line.split(['(', '<']).next().unwrap().to_owned()).collect()
    };
    let within = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut ours = [
        "client.rs",
        "exec.rs",
        "jobs.rs",
        "ingress.rs",
        "ops.rs",
        "token/keys.rs",
        "events/page.rs",
        "events/follow.rs",
    ]
    .map(|file| source.join(file))
    .into_iter()
    .chain(within(&source.join("control")).filter(|file| !file.ends_with("change.rs")));
    let ours = methods(&mut ours);
    assert!(ours.contains("execute") && ours.contains("replay_dlq") && ours.len() > 50, "{ours:?}");

    let blocking: String = within(&source.join("blocking")).map(|file| fs::read_to_string(file).unwrap()).collect();
    let missing: Vec<_> = ours
        .iter()
        .filter(|name| !blocking.contains(&format!("fn {name}(")) && !blocking.contains(&format!("fn {name}<")))
        .collect();
    assert!(missing.is_empty(), "not there without async: {missing:?}");
}
