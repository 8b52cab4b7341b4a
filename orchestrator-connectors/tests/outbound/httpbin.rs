//! The `http` kind against `httpbin`, which tells what it was sent as it understood it.

use orchestrator_conformance::servers::{Program, PythonServer};
use orchestrator_core::connector::{CallErrorKind, HealthCheck};
use serde_json::{Value, json};

use crate::kit::{build, connector, context, filled};

fn httpbin() -> PythonServer {
    let serve = "import sys\nfrom waitress import serve\nfrom httpbin import app\nserve(app, host='127.0.0.1', port=int(sys.argv[1]))\n";
    PythonServer::start(&["httpbin==0.10.4", "waitress==3.0.2", "setuptools<81"], Program::Text(serve), &["{port}"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ours_understands_what_is_sent() {
    let server = httpbin();
    let connector =
        connector(&json!({"base_url": server.url(""), "headers": {"X-Tenant": "shop"}, "health_path": "/status/204"}));
    let call = async |input: Value| connector.call(&context(), "request", &input).await;
    let body = async |input: Value| call(input).await.unwrap()["body"].clone();

    let sent = body(
        json!({"method": "POST", "path": "/anything/a%20b", "query": {"q": ["1", "2"]}, "json": {"a": [1, null]}}),
    )
    .await;
    assert_eq!(
        (&sent["method"], &sent["json"], &sent["args"]),
        (&json!("POST"), &json!({"a": [1, null]}), &json!({"q": ["1", "2"]}))
    );
    assert_eq!(sent["headers"]["X-Tenant"], "shop");
    let form = body(json!({"method": "PUT", "path": "/put", "form": {"a": "b c&d", "e": [1, 2]}})).await;
    assert_eq!(form["form"], json!({"a": "b c&d", "e": ["1", "2"]}));
    let parts = json!([
        {"name": "title", "text": "caf\u{e9}"}, {"name": "meta", "json": {"a": 1}},
        {"name": "upload", "body_base64": "AP8=", "filename": "a \"b\".bin", "content_type": "image/png"},
    ]);
    let multipart = body(json!({"method": "POST", "path": "/post", "multipart": parts})).await;
    assert_eq!(multipart["form"], json!({"title": "caf\u{e9}", "meta": "{\"a\":1}"}));
    assert_eq!(multipart["files"]["upload"], "data:image/png;base64,AP8=");
    let text = body(json!({"method": "PATCH", "path": "/patch", "text": "caf\u{e9}"})).await;
    assert_eq!(text["data"], "caf\u{e9}");
    let bytes = call(json!({"method": "GET", "path": "/bytes/16?seed=1"})).await.unwrap();
    assert!(bytes["body_base64"].is_string() && bytes["body"].is_null());
    for (status, kind) in [
        (404, CallErrorKind::Rejected),
        (429, CallErrorKind::Failed),
        (503, CallErrorKind::Failed),
        (302, CallErrorKind::Rejected),
    ] {
        let failed = call(json!({"method": "GET", "path": format!("/status/{status}")})).await.unwrap_err();
        assert_eq!((failed.kind, failed.upstream.unwrap().status), (kind, status));
    }
    assert_eq!(connector.health(&context()).await.unwrap(), HealthCheck::Passed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ours_takes_the_credentials() {
    let server = httpbin();
    let get = |path: &str| json!({"method": "GET", "path": path});
    let settings = json!({"base_url": server.url("")});
    let basic = build(&settings, filled(&[("username", "user"), ("password", "p:ss w\u{f6}rd")])).unwrap();
    let taken = basic.call(&context(), "request", &get("/basic-auth/user/p:ss%20w%C3%B6rd")).await.unwrap();
    assert_eq!(taken["body"]["authenticated"], true);
    let bearer = build(&settings, filled(&[("bearer", "tok-1")])).unwrap();
    assert_eq!(bearer.call(&context(), "request", &get("/bearer")).await.unwrap()["body"]["token"], "tok-1");
    let refused = connector(&settings).call(&context(), "request", &get("/bearer")).await.unwrap_err();
    assert_eq!((refused.kind, refused.upstream.unwrap().status), (CallErrorKind::Rejected, 401));
}
