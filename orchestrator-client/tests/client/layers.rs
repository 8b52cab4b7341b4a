//! Layers of the caller's own, and the trace that a call continues.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use orchestrator_client::{Body, BoxError, Client, Error, Operation, Retry, TraceParent};
use orchestrator_types::TraceId;
use serde_json::json;
use tower::ServiceExt;
use tower::layer::layer_fn;
use tower::util::MapRequestLayer;

use crate::server::{Server, answer, quick};

fn adding(value: &'static str) -> MapRequestLayer<impl Fn(http::Request<Body>) -> http::Request<Body> + Clone> {
    MapRequestLayer::new(move |mut request: http::Request<Body>| {
        request.headers_mut().append("seen", HeaderValue::from_static(value));
        request
    })
}

#[tokio::test]
async fn the_layer_that_is_added_last_sees_a_request_first() {
    let server = Server::answering(|_, _| answer(200, &json!({"version": 1, "settings": {}}))).await;
    let client = server.builder().token("x").layer(adding("inner")).layer(adding("outer")).build().unwrap();
    client.product_config().await.unwrap();
    let seen = &server.seen()[0];
    let order: Vec<_> = seen.headers.get_all("seen").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(order, ["outer", "inner"]);
}

#[tokio::test]
async fn a_layer_may_change_the_answers_body_and_knows_the_operation() {
    let server = Server::answering(|_, _| answer(200, &json!({"version": 1, "settings": {}}))).await;
    let operations = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&operations);
    let layer = layer_fn(move |inner: orchestrator_client::HttpService| {
        let names = Arc::clone(&names);
        inner
            .map_request(move |request: http::Request<Body>| {
                names.lock().unwrap().push(*request.extensions().get::<Operation>().unwrap());
                request
            })
            .map_response(|answer| {
                answer.map(|_| http_body_util::Full::new(bytes::Bytes::from(r#"{"version": 2, "settings": {}}"#)))
            })
    });
    let client = server.builder().token("x").layer(layer).build().unwrap();
    assert_eq!(client.product_config().await.unwrap().version, 2);
    assert_eq!(*operations.lock().unwrap(), [Operation("get_product_config")]);
}

#[tokio::test]
async fn what_a_layer_refuses_is_tried_again_where_that_is_safe() {
    let tries = Arc::new(Mutex::new(0));
    let count = Arc::clone(&tries);
    let layer = layer_fn(move |_| {
        let count = Arc::clone(&count);
        tower::service_fn(move |_: http::Request<Body>| {
            *count.lock().unwrap() += 1;
            async { Err::<http::Response<Body>, _>(BoxError::from("not today")) }
        })
    });
    let client = Client::builder("http://nowhere.invalid").token("x").retry(quick(3)).layer(layer).build().unwrap();
    let problem = client.product_config().await.unwrap_err();
    let Error::Transport(source) = &problem else { panic!("{problem:?}") };
    assert_eq!(source.get_ref().unwrap().to_string(), "not today");
    assert!(!source.is_connect() && !source.is_timeout());
    assert_eq!(*tries.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_layer_that_never_answers_is_given_up_in_time() {
    let layer = layer_fn(|_| {
        tower::service_fn(|_: http::Request<Body>| std::future::pending::<Result<http::Response<Body>, BoxError>>())
    });
    let builder = Client::builder("http://nowhere.invalid").token("x").retry(Retry::never()).layer(layer);
    let client = builder.timeout(Duration::from_millis(20)).build().unwrap();
    let problem = client.product_config().await.unwrap_err();
    assert!(matches!(&problem, Error::Transport(source) if source.is_timeout()), "{problem:?}");
}

#[tokio::test]
async fn a_call_continues_the_trace_that_the_program_is_in() {
    let server = Server::answering(|_, _| answer(200, &json!({"version": 1, "settings": {}}))).await;
    let trace = TraceId::from_bits(0xabc);
    let place = TraceParent::new(trace, 7, false).unwrap().with_state("vendor=1");
    let client = server.builder().token("x").trace_context(move || Some(place.clone())).build().unwrap();
    client.product_config().await.unwrap();
    client.with_trace(TraceId::from_bits(0xdef)).product_config().await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("traceparent").unwrap(), format!("00-{trace}-0000000000000007-00"));
    assert_eq!(seen[0].header("tracestate"), Some("vendor=1"));
    // Who names a trace means that one.
    let named = TraceId::from_traceparent(seen[1].header("traceparent").unwrap());
    assert_eq!((named, seen[1].header("tracestate")), (Some(TraceId::from_bits(0xdef)), None));
}
