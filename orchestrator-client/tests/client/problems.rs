//! How refusals and odd answers are told.

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use orchestrator_client::{Client, Error, ErrorCode, WebhookOutcome};
use orchestrator_types::{ExecutionId, IdentityRequest, InboxId, PayloadId, TraceId};
use serde_json::json;

use crate::retries::call;
use crate::server::{Server, answer, problem, with};

#[tokio::test]
async fn a_problem_document_is_read_whole() {
    let server = Server::answering(|_, _| problem(400, "invalid_input")).await;
    let refused = server.client().execute(&call()).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::InvalidInput));
    assert_eq!(refused.status().unwrap(), 400);
    assert!(!refused.is_transient());
    assert_eq!(refused.problem().unwrap().errors[0].pointer, "/input/path");
    let Error::Problem(document) = &refused else { panic!("{refused:?}") };
    assert_eq!(document.detail, "what to change");
    assert_eq!(refused.to_string(), "invalid_input: what to change (HTTP 400)");
}

#[tokio::test]
async fn an_error_answer_that_is_no_problem_document_keeps_its_status() {
    let server = Server::answering(|_, number| match number {
        0 => Response::builder()
            .status(413)
            .header("content-type", "text/html")
            .body(Body::from("<h1>\u{7}no</h1>"))
            .unwrap(),
        1 => answer(404, &json!({"error": "gone"})),
        _ => Response::builder().status(502).body(Body::from(vec![0xff; 4_096])).unwrap(),
    })
    .await;
    let client = server.client();
    let mut excerpts = Vec::new();
    for status in [413, 404, 502] {
        let Err(Error::Status { status: told, excerpt, .. }) = client.execute(&call()).await else { panic!() };
        assert_eq!(told.as_u16(), status);
        excerpts.push(excerpt);
    }
    assert_eq!(excerpts[0], "<h1> no</h1>");
    assert_eq!(excerpts[2].chars().count(), 512);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_told_with_its_type() {
    let server = Server::answering(|_, _| answer(200, &json!({"id": "exe_nonsense"}))).await;
    let problem = server.client().execution(ExecutionId::new()).await.unwrap_err();
    assert_eq!(problem.to_string(), "the answer is not a well-formed ExecutionView");
    assert!(std::error::Error::source(&problem).is_some());
}

#[tokio::test]
async fn an_answer_that_holds_a_secret_leaves_none_in_an_error() {
    let server = Server::answering(|_, number| match number {
        0 => answer(201, &json!({"name": 5, "client_secret": "s3cret-c4n4ry", "scopes": "s3cret-c4n4ry"})),
        _ => answer(500, &json!({"client_secret": "s3cret-c4n4ry"})),
    })
    .await;
    let client = server.client();
    let ws = client.workspace(&"buildos-dev".parse().unwrap());
    let request = IdentityRequest { name: "svc:billing".parse().unwrap(), scopes: Vec::new(), public_key: None };
    for _ in 0..2 {
        let problem = ws.create_identity(&request).await.unwrap_err();
        assert!(!format!("{problem} {problem:?}").contains("c4n4ry"), "{problem:?}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_announced_or_not() {
    let server = Server::answering(|_, number| {
        let body = "x".repeat(2_000);
        match number {
            0 => Response::new(Body::from(body)),
            1 => Response::new(Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body)]))),
            _ => with(Response::new(Body::from(vec![7; 1_000])), "content-type", "image/png"),
        }
    })
    .await;
    let client = server.builder().token("x").max_answer_bytes(1_000).build().unwrap();
    for _ in 0..2 {
        let outcome = client.payload(PayloadId::new()).await;
        assert!(matches!(outcome, Err(Error::TooLarge { limit: 1_000 })), "{outcome:?}");
    }
    let payload = client.payload(PayloadId::new()).await.unwrap();
    assert_eq!((payload.bytes.len(), payload.content_type.as_deref()), (1_000, Some("image/png")));
}

#[tokio::test]
async fn a_webhook_goes_out_as_it_is_and_its_answer_comes_back_read() {
    let (id, trace) = (InboxId::new(), TraceId::new());
    let server = Server::answering(move |_, number| match number {
        0 => with(answer(200, &json!({"id": id, "duplicate": true})), "trace-id", &trace.to_string()),
        1 => problem(401, "signature_invalid"),
        _ => Response::new(Body::from("ok")),
    })
    .await;
    let client = server.client();
    let (provider, key) = ("stripe".parse().unwrap(), "main".parse().unwrap());
    let mut headers = HeaderMap::new();
    headers.insert("stripe-signature", "t=1,v1=ab".parse().unwrap());
    headers.insert("content-length", "1".parse().unwrap());

    let first = client.send_webhook(&provider, Some(&key), headers.clone(), " {} ".into()).await.unwrap();
    let second = client.send_webhook(&provider, None, headers.clone(), " {} ".into()).await.unwrap();
    let third = client.send_webhook(&provider, None, headers, " {} ".into()).await.unwrap();

    let WebhookOutcome::Accepted(accepted) = &first.outcome else { panic!("{first:?}") };
    assert!(accepted.id == id && accepted.duplicate && first.trace_id == Some(trace));
    let WebhookOutcome::Refused(refused) = &second.outcome else { panic!("{second:?}") };
    assert_eq!((second.status.as_u16(), refused.code.as_str()), (401, "signature_invalid"));
    assert_eq!(third.outcome, WebhookOutcome::Other("ok".to_owned()));
    let seen = server.seen();
    assert_eq!((seen[0].target.as_str(), seen[1].target.as_str()), ("/webhooks/stripe/main", "/webhooks/stripe"));
    assert_eq!(&seen[0].body[..], b" {} ");
    assert_eq!(seen[0].header("stripe-signature"), Some("t=1,v1=ab"));
    assert_eq!(seen[0].header("authorization"), None);
}

#[tokio::test]
async fn readiness_is_asked_of_the_ops_listener_without_a_token() {
    let ops = Server::answering(|seen, number| match (seen.path(), number) {
        ("/readyz", 1) => answer(503, &json!({"status": "draining"})),
        ("/readyz", 3) => answer(500, &json!({})),
        _ => answer(200, &json!({})),
    })
    .await;
    let client = Client::builder("http://127.0.0.1:1").ops_url(&ops.url).token("x").build().unwrap();
    client.health().await.unwrap();
    assert!(!client.ready().await.unwrap());
    assert!(client.ready().await.unwrap());
    client.ready().await.unwrap_err();
    assert!(ops.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[test]
fn an_address_that_cannot_work_is_refused_at_once() {
    for url in
        ["", "orchestrator", "ftp://host", "http://user@host", "http://:pw@host", "http://host?x=1", "http://host#x"]
    {
        assert!(matches!(Client::new(url, "x"), Err(Error::Invalid(_))), "{url}");
    }
    assert!(matches!(Client::new("http://host", "two words"), Err(Error::Token(_))));
    assert!(Client::new("https://host/under/a/path/", "x").is_ok());
}
