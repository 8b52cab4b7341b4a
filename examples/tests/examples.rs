//! Every program under `examples/` runs, and does what it says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../examples/connector.rs"]
#[allow(dead_code, reason = "what only its main function uses")]
mod connector;
#[path = "../examples/embed.rs"]
#[allow(dead_code, reason = "what only its main function uses")]
mod embed;
#[path = "../examples/events.rs"]
#[allow(dead_code, reason = "what only its main function uses")]
mod events;
#[path = "../examples/layers.rs"]
#[allow(dead_code, reason = "what only its main function uses")]
mod layers;
#[path = "../examples/mock.rs"]
#[allow(dead_code, reason = "what only its main function uses")]
mod mock;
#[path = "../examples/product.rs"]
#[allow(dead_code, reason = "what only its main function uses")]
mod product;

use orchestrator_core::types::JobStatus;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn the_layers_protect_a_plain_service() {
    let outcome = layers::run().await.unwrap();
    assert_eq!((outcome.attempts_to_success, outcome.attempts_of_a_post), (3, 1));
    assert!(outcome.fell_back && outcome.breaker_opened && outcome.recovered);
    assert_eq!(outcome.calls_while_open, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_runs_inside_a_program_and_comes_back_on_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = embed::run(folder.path()).await.unwrap();
    assert_eq!(outcome.answer, json!({"id": "in_1", "amount": 4900}));
    assert_eq!((outcome.job.status, outcome.job.attempt), (JobStatus::Succeeded, 1));
    assert_eq!(outcome.job.output.unwrap()["body"]["id"], "re_1");
    assert_eq!(outcome.job.metadata["order"], "1001");
    for kind in ["workspace.created", "config.activated", "execution.succeeded", "job.queued", "job.succeeded"] {
        assert!(outcome.events.iter().any(|event| event == kind), "{kind} in {:?}", outcome.events);
    }
    // What it wrote is there for the next start: the workspace exists already.
    assert_eq!(embed::run(folder.path()).await.unwrap_err().to_string(), "the workspace exists already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_of_ones_own_is_called_as_any_other() {
    let outcome = connector::run().await.unwrap();
    assert_eq!(outcome.output, json!({"message_id": "msg-1"}));
    assert_eq!(outcome.sent, [("+491701234567".to_owned(), "Salon: Tomorrow at ten.".to_owned())]);
    assert_eq!(outcome.refused_at, ["/input/to", "/input/text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_takes_a_delivery_once_and_believes_nobody_else() {
    let outcome = product::run().await.unwrap();
    assert_eq!((outcome.first, outcome.again), (204, 204));
    assert_eq!((outcome.forged, outcome.altered, outcome.stale), (401, 401, 401));
    assert_eq!(outcome.ledger, [product::Paid { invoice: "in_example0001".to_owned(), amount: 4900 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_streams_tell_the_same_story() {
    let outcome = events::run().await.unwrap();
    assert!(outcome.paged.len() > 4, "{:?}", outcome.paged);
    assert!(outcome.paged.is_sorted() && outcome.paged == outcome.streamed);
    assert_eq!(outcome.executions, 3);
    assert!(outcome.awaited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_tested_without_the_engine() {
    let seen = mock::run().await.unwrap();
    let later = mock::Refund::Later(std::time::Duration::from_secs(60));
    assert_eq!(seen.refunds, [mock::Refund::Done("re_1".to_owned()), mock::Refund::Refused, later]);
    let asked = |order: &str, amount: u64| (Some(order.to_owned()), json!(amount));
    assert_eq!(seen.asked, [asked("order-1", 5), asked("order-2", 7), asked("order-3", 9)]);
    assert_eq!((seen.attempts, seen.done), (2, vec!["order-4".to_owned()]));
}

#[test]
fn every_program_is_run_here() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut programs: Vec<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    programs.sort_unstable();
    assert_eq!(programs, ["connector", "embed", "events", "layers", "mock", "product"]);
}
