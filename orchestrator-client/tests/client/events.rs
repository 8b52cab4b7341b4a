//! Events by page and as a stream.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use orchestrator_client::{Client, Error, EventFilter, EventQuery};
use orchestrator_types::{EventId, EventType, TraceId};
use serde_json::{Value, json};

use crate::server::{Server, answer, cut, nobody, problem, quick};

fn id(sequence: u64) -> EventId {
    EventId::at(1_700_000_000_000, sequence)
}

fn event(sequence: u64) -> Value {
    json!({
        "id": id(sequence), "type": "job.succeeded", "workspace": "buildos-dev", "subject": "job_x",
        "time": "2026-01-01T00:00:00.000Z", "trace_id": TraceId::from_bits(7), "data": {},
    })
}

fn frame(sequence: u64) -> String {
    format!("id: {}\nevent: job.succeeded\ndata: {}\n\n", id(sequence), event(sequence))
}

fn stream(chunks: Vec<String>) -> Response {
    let body = Body::from_stream(futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)));
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(body).unwrap()
}

const SSE: &str = "text/event-stream";

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_when_it_is_cut() {
    let server = Server::answering(|_, number| match number {
        // Cut within an event, which is therefore not given yet.
        0 => cut(SSE, vec![": hello\n\n".to_owned(), frame(1), frame(2), frame(3)[..40].to_owned()]),
        1 => problem(503, "unavailable"),
        // Ended by the server, after an event that was given before.
        2 => stream(vec![frame(2), frame(3)]),
        3 => cut(SSE, Vec::new()),
        4 => stream(vec![format!("id: {}\n\n", id(9))]),
        _ => problem(403, "forbidden"),
    })
    .await;
    let client = server.builder().token("x").retry(quick(10)).build().unwrap();
    let filter = EventFilter {
        kinds: vec![EventType::JobSucceeded],
        subject: Some("job_x".to_owned()),
        ..EventFilter::default()
    };

    let items: Vec<_> = client.event_stream(Some(id(0)), filter).collect().await;

    let (end, events) = items.split_last().unwrap();
    assert_eq!(events.iter().map(|item| item.as_ref().unwrap().id.sequence()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(end.as_ref().unwrap_err().status().unwrap(), 403);
    let seen = server.seen();
    let cursors: Vec<_> = seen.iter().map(|seen| seen.header("last-event-id").map(str::to_owned)).collect();
    let [two, three, nine] = [2, 3, 9].map(|sequence| Some(id(sequence).to_string()));
    assert_eq!(cursors, [None, two.clone(), two, three.clone(), three, nine]);
    assert_eq!(seen[0].target, format!("/events?type=job.succeeded&subject=job_x&after={}", id(0)));
    assert!(seen[1..].iter().all(|seen| seen.target == "/events?type=job.succeeded&subject=job_x"));
    assert!(seen.iter().all(|seen| seen.header("accept") == Some(SSE)));
}

#[tokio::test]
async fn a_silent_stream_is_opened_anew() {
    let server = Server::answering(|_, number| match number {
        0 => {
            let body = Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
            Response::builder().header("content-type", SSE).body(body).unwrap()
        }
        _ => stream(vec![frame(1)]),
    })
    .await;
    let client =
        server.builder().token("x").retry(quick(u32::MAX)).stream_silence(Duration::from_millis(50)).build().unwrap();
    let event = client.event_stream(None, EventFilter::default()).next().await.unwrap().unwrap();
    assert_eq!(event.id, id(1));
    assert!(server.seen().len() >= 2);
    assert!(server.seen().iter().all(|seen| seen.target == "/events"));
}

#[tokio::test]
async fn an_event_of_tomorrow_is_told_and_passed() {
    let tomorrow = format!("id: {}\ndata: {{\"type\":\"job.dreamt\"}}\n\n", id(2));
    let server = Server::answering(move |_, number| match number {
        0 => stream(vec![frame(1), tomorrow.clone()]),
        _ => stream(vec![frame(3)]),
    })
    .await;
    let mut events = server.client().event_stream(None, EventFilter::default());
    assert_eq!(events.next().await.unwrap().unwrap().id, id(1));
    assert!(matches!(events.next().await.unwrap(), Err(Error::Decode { .. })));
    assert_eq!(events.next().await.unwrap().unwrap().id, id(3));
    assert_eq!(server.seen()[1].header("last-event-id"), Some(&*id(2).to_string()));
}

#[tokio::test]
async fn a_stream_that_cannot_connect_says_so_and_goes_on_trying() {
    let client = Client::builder(&nobody().await).token("x").retry(quick(3)).build().unwrap();
    let mut events = client.event_stream(None, EventFilter::default());
    for _ in 0..3 {
        let problem = events.next().await.unwrap().unwrap_err();
        assert!(matches!(problem, Error::Transport(_)), "{problem:?}");
    }
}

#[tokio::test]
async fn where_something_answers_with_pages_the_stream_goes_on_by_pages() {
    let server = Server::answering(|_, number| match number {
        0 => answer(200, &json!({"items": [event(9)], "next_cursor": null})),
        1 => answer(200, &json!({"items": [event(1), event(2)], "next_cursor": id(2)})),
        // Nothing that fits the filter, and more behind it.
        2 => answer(200, &json!({"items": [], "next_cursor": id(5)})),
        3 => problem(503, "unavailable"),
        4 => answer(200, &json!({"items": [event(6)], "next_cursor": id(6)})),
        _ => problem(403, "forbidden"),
    })
    .await;
    let items: Vec<_> = server.client().event_stream(None, EventFilter::default()).collect().await;
    let (end, events) = items.split_last().unwrap();
    assert_eq!(events.iter().map(|item| item.as_ref().unwrap().id.sequence()).collect::<Vec<_>>(), [1, 2, 6]);
    assert_eq!(end.as_ref().unwrap_err().status().unwrap(), 403);
    let seen: Vec<_> = server.seen().iter().map(|seen| seen.target.clone()).collect();
    let after = |sequence| format!("/events?after={}&wait_ms=25000", id(sequence));
    assert_eq!(seen, ["/events", "/events?wait_ms=25000", &after(2), &after(5), &after(5), &after(6)]);
}

#[tokio::test]
async fn where_streams_are_held_back_the_stream_goes_on_by_pages() {
    let server = Server::answering(|seen, number| match (number, seen.header("accept")) {
        (0 | 1, _) => {
            let nothing = futures_util::stream::pending::<Result<String, std::io::Error>>();
            Response::builder().header("content-type", SSE).body(Body::from_stream(nothing)).unwrap()
        }
        (2, Some("application/json")) => answer(200, &json!({"items": [event(1)], "next_cursor": id(1)})),
        _ => problem(403, "forbidden"),
    })
    .await;
    let client = server.builder().token("x").stream_silence(Duration::from_millis(50)).build().unwrap();
    let mut events = client.event_stream(None, EventFilter::default());
    assert_eq!(events.next().await.unwrap().unwrap().id, id(1));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_page_of_events_is_waited_for() {
    let server = Server::answering(|_, _| answer(200, &json!({"items": [event(1)], "next_cursor": id(1)}))).await;
    let query = EventQuery {
        after: Some(id(0)),
        kinds: vec![EventType::JobSucceeded, EventType::JobDead],
        subject: Some("job_x".to_owned()),
        trace_id: None,
        wait: Some(Duration::from_secs(3_600)),
        limit: Some(10),
    };
    let client = server.client();
    assert_eq!(client.events(&query).await.unwrap().items[0].id, id(1));
    client.events(&EventQuery::default()).await.unwrap();
    let seen = server.seen();
    let expected =
        format!("/events?after={}&type=job.succeeded%2Cjob.dead&subject=job_x&wait_ms=30000&limit=10", id(0));
    assert_eq!((seen[0].target.as_str(), seen[1].target.as_str()), (expected.as_str(), "/events"));
}
