//! Jobs and lists.

use std::time::Duration;

use axum::response::Response;
use futures_util::TryStreamExt;
use orchestrator_client::{Error, JobFilter};
use orchestrator_types::{JobBatchRequest, JobId, JobStatus, JobView, Timestamp, TraceId};
use serde_json::{Value, json};

use crate::retries::job;
use crate::server::{Server, answer, problem};

fn view(status: &str) -> Value {
    let time = Timestamp::from_unix_ms(0);
    json!({
        "id": JobId::from_bits(7), "status": status, "connector": "billing-api", "operation": "request", "attempt": 1,
        "max_attempts": 8, "created_at": time, "run_at": time, "finished_at": null, "callback": null,
        "trace_id": TraceId::from_bits(7), "metadata": {},
    })
}

fn page(ids: &[u128], next: Option<&str>) -> Response {
    let items: Vec<_> = ids
        .iter()
        .map(|id| {
            let mut item = view("dead");
            item["id"] = json!(JobId::from_bits(*id));
            item
        })
        .collect();
    answer(200, &json!({"items": items, "next_cursor": next}))
}

#[tokio::test]
async fn a_job_is_waited_for_by_long_polls_until_it_has_ended() {
    let server = Server::answering(|_, number| answer(200, &view(["queued", "running", "succeeded"][number]))).await;
    let job = server.client().wait_for_job(JobId::from_bits(7), Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(job.status, JobStatus::Succeeded);
    let target = format!("/jobs/{}?wait_ms=30000", JobId::from_bits(7));
    assert_eq!(server.seen().iter().map(|seen| seen.target.clone()).collect::<Vec<_>>(), [&*target; 3]);
}

#[tokio::test]
async fn a_job_that_has_not_ended_in_time_is_told_as_it_stands() {
    let server = Server::answering(|_, _| answer(200, &view("retrying"))).await;
    let outcome = server.client().wait_for_job(JobId::from_bits(7), Duration::ZERO).await;
    let Err(Error::NotFinished(job)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(job.status, JobStatus::Retrying);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].target, format!("/jobs/{}", JobId::from_bits(7)));
}

#[tokio::test]
async fn a_job_and_a_batch_are_handed_over() {
    let server = Server::answering(|seen, _| {
        let accepted = json!({"id": JobId::from_bits(7), "status": "queued", "created_at": Timestamp::from_unix_ms(0), "trace_id": TraceId::from_bits(7)});
        match seen.path() {
            "/jobs" => answer(202, &accepted),
            _ => answer(202, &json!({"jobs": [accepted], "trace_id": TraceId::from_bits(7)})),
        }
    })
    .await;
    let client = server.client();
    assert_eq!(client.submit(&job()).await.unwrap().id, JobId::from_bits(7));
    assert_eq!(client.submit_batch(&JobBatchRequest { jobs: vec![job()] }).await.unwrap().jobs.len(), 1);
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.header("idempotency-key").is_some()));
    assert_eq!(seen[1].target, "/jobs/batch");
}

#[tokio::test]
async fn a_list_is_walked_page_by_page_as_its_items_are_taken() {
    let server = Server::answering(|_, number| match number {
        0 => page(&[1, 2], Some("a b&c")),
        1 => page(&[], Some("d")),
        _ => page(&[3], None),
    })
    .await;
    let filter = JobFilter { status: Some(JobStatus::Dead), connector: Some("billing-api".parse().unwrap()) };
    let mut items = server.client().jobs(&filter).limit(2).items();

    assert_eq!(items.try_next().await.unwrap().unwrap().id, JobId::from_bits(1));
    assert_eq!(server.seen().len(), 1, "the second page is not fetched before it is needed");
    let rest: Vec<JobView> = items.try_collect().await.unwrap();
    assert_eq!(rest.iter().map(|job| job.id.bits()).collect::<Vec<_>>(), [2, 3]);

    let query = "/jobs?status=dead&connector=billing-api&limit=2";
    let targets: Vec<_> = server.seen().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(targets, [query.to_owned(), format!("{query}&cursor=a+b%26c"), format!("{query}&cursor=d")]);
}

#[tokio::test]
async fn a_list_ends_at_an_error_and_at_a_cursor_that_does_not_move() {
    let server = Server::answering(|_, number| match number {
        0 => page(&[1], Some("a")),
        1 => problem(500, "internal"),
        _ => page(&[1], Some("a")),
    })
    .await;
    let client = server.client();
    let failed: Result<Vec<JobView>, Error> = client.jobs(&JobFilter::default()).items().try_collect().await;
    assert_eq!(failed.unwrap_err().status().unwrap(), 500);
    let stuck: Vec<JobView> = client.jobs(&JobFilter::default()).items().try_collect().await.unwrap();
    assert_eq!(stuck.len(), 2);
    let page = client.jobs(&JobFilter::default()).cursor("a").await.unwrap();
    assert_eq!(page.next_cursor.as_deref(), Some("a"));
}
