//! Lists that are read page by page.

use http::Uri;
use orchestrator_core::connector::{CallErrorKind, SecretSlots, Sent};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::kit::{build, connector, context, invalid, pointers};
use crate::upstream::{Canary, Seen, Upstream, answer};

/// A list of `length` numbered things in pages of two, which each way of paging can be read by.
async fn list(length: usize) -> Upstream {
    Upstream::serving(move |seen: Seen, mut socket| {
        let told = page(&seen, length);
        async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
    })
    .await
}

fn page(seen: &Seen, length: usize) -> String {
    let target: Uri = seen.target.parse().unwrap();
    let query = target.query().unwrap_or_default().to_owned();
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.parse::<usize>().unwrap())
    };
    let start = match (parameter("page"), parameter("after"), parameter("offset")) {
        (Some(page), ..) => (page - 1) * 2,
        (_, Some(after), _) => after,
        (.., offset) => offset.unwrap_or(0),
    };
    let items: Vec<Value> = (start + 1..=length.min(start + 2)).map(|id| json!({"id": id})).collect();
    let more = start + 2 < length;
    let next = if more { json!(start + 2) } else { Value::Null };
    let link = if more { format!("Link: </api/things?offset={}>; rel=\"next\"\r\n", start + 2) } else { String::new() };
    let body = json!({"data": items, "paging": {"next": next}, "has_more": more});
    answer(200, &format!("Content-Type: application/json\r\n{link}"), &body.to_string())
}

fn asked(paginate: &Value) -> Value {
    json!({"method": "GET", "path": "/things", "query": {"kind": "a"}, "paginate": paginate})
}

fn ids(output: &Value) -> Vec<u64> {
    output["body"].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_read_to_its_end_by_each_way() {
    let upstream = list(5).await;
    let connector = connector(&json!({"base_url": upstream.url("/api")}));
    for (way, pages) in [
        (json!({"by": "link", "items": "/data"}), 3),
        (json!({"by": "cursor", "items": "/data", "cursor": "/paging/next", "parameter": "offset"}), 3),
        (json!({"by": "last_item", "items": "/data", "cursor": "/id", "parameter": "after", "more": "/has_more"}), 3),
        // Only an empty page ends it.
        (json!({"by": "page", "items": "/data", "parameter": "page"}), 4),
    ] {
        let before = upstream.requests().len();
        let output = connector.call(&context(), "request", &asked(&way)).await.unwrap();
        assert_eq!(ids(&output), [1, 2, 3, 4, 5], "{way}");
        assert_eq!(output["paging"], json!({"pages": pages, "complete": true}), "{way}");
        let requests = upstream.requests().split_off(before);
        assert_eq!(requests.len(), pages);
        assert!(requests[0].target.starts_with("/api/things?kind=a"), "{way}");
        assert!(requests.iter().all(|seen| seen.header("traceparent").is_some()));
    }
}

#[tokio::test]
async fn a_long_list_is_cut_and_says_how_to_go_on() {
    let upstream = list(100).await;
    let connector = connector(&json!({"base_url": upstream.url("/api")}));
    let way =
        json!({"by": "cursor", "items": "/data", "cursor": "/paging/next", "parameter": "offset", "max_pages": 3});
    let output = connector.call(&context(), "request", &asked(&way)).await.unwrap();
    assert_eq!((ids(&output).len(), &output["paging"]), (6, &json!({"pages": 3, "complete": false, "next": "6"})));
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn inv_37_all_pages_together_are_bounded_in_bytes() {
    let upstream = list(1_000).await;
    let connector = connector(&json!({"base_url": upstream.url("/api"), "max_response_bytes": 400}));
    let way = json!({"by": "link", "items": "/data", "max_pages": 100});
    let failed = connector.call(&context(), "request", &asked(&way)).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::Maybe));
    assert!(failed.detail.contains("larger than") && upstream.requests().len() < 10, "{failed:?}");
}

#[tokio::test]
async fn inv_26_a_next_link_that_leads_elsewhere_is_not_followed() {
    let canary = Canary::at("127.0.0.1:0").await;
    for target in [
        format!("http://{}/api/things", canary.address()),
        format!("//{}/api/things", canary.address()),
        "/other/things".to_owned(),
        "/api/../secret".to_owned(),
        "http://user@127.0.0.1/api/x".to_owned(),
        "ftp://127.0.0.1/api/x".to_owned(),
    ] {
        let head = format!("Content-Type: application/json\r\nLink: <{target}>; rel=next\r\n");
        let upstream = Upstream::answering(answer(200, &head, "[1]")).await;
        let connector = connector(&json!({"base_url": upstream.url("/api")}));
        let failed = connector.call(&context(), "request", &asked(&json!({"by": "link"}))).await.unwrap_err();
        assert_eq!(failed.kind, CallErrorKind::Rejected, "{target}");
        assert!(failed.detail.contains("outside of the base URL"), "{target}: {failed:?}");
        assert_eq!(upstream.requests().len(), 1);
    }
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_29_pages_that_are_none_and_lists_that_turn_in_circles_end() {
    let json_head = "Content-Type: application/json\r\n";
    let circle = "Content-Type: application/json\r\nLink: </api/things?kind=a>; rel=next\r\n";
    for (told, way, words) in [
        (answer(200, json_head, r#"{"data":{}}"#), json!({"by": "link", "items": "/data"}), "no list"),
        (answer(200, "", "text"), json!({"by": "link"}), "no list"),
        (answer(200, circle, "[1]"), json!({"by": "link"}), "the same page"),
        (
            answer(200, json_head, r#"{"d":[{"id":"x"}]}"#),
            json!({"by": "last_item", "items": "/d", "cursor": "/id", "parameter": "a"}),
            "the same page",
        ),
    ] {
        let upstream = Upstream::answering(told).await;
        let connector = connector(&json!({"base_url": upstream.url("/api")}));
        let failed = connector.call(&context(), "request", &asked(&way)).await.unwrap_err();
        assert!(failed.kind == CallErrorKind::Rejected && failed.detail.contains(words), "{way}: {failed:?}");
        assert!(upstream.requests().len() <= 2);
    }
}

#[tokio::test]
async fn a_page_that_fails_fails_the_call_and_says_which() {
    let upstream = Upstream::serving(|seen: Seen, mut socket| {
        let told = if seen.target.contains("offset") { answer(503, "Retry-After: 4\r\n", "") } else { page(&seen, 9) };
        async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
    })
    .await;
    let connector = connector(&json!({"base_url": upstream.url("/api")}));
    let way = json!({"by": "link", "items": "/data"});
    let failed = connector.call(&context(), "request", &asked(&way)).await.unwrap_err();
    assert_eq!((failed.kind, failed.retry_after.map(|wait| wait.as_secs())), (CallErrorKind::Failed, Some(4)));
    assert!(failed.detail.starts_with("page 2: "), "{failed:?}");
}

#[test]
fn paging_that_cannot_work_is_refused() {
    let plain = connector(&json!({"base_url": "https://a.example"}));
    for (input, pointer) in [
        (json!({"method": "POST", "path": "/", "paginate": {"by": "link"}}), "/paginate"),
        (json!({"method": "GET", "path": "/", "paginate": {"by": "cursor", "parameter": "x"}}), "/paginate/cursor"),
        (json!({"method": "GET", "path": "/", "paginate": {"by": "guess"}}), "/paginate/by"),
        (json!({"method": "GET", "path": "/", "paginate": {"by": "link", "max_pages": 101}}), "/paginate/max_pages"),
        (json!({"method": "GET", "path": "/", "paginate": {}}), "/paginate/by"),
    ] {
        let problems = invalid(plain.plan("request", &input));
        assert!(pointers(&problems).contains(&pointer), "{input}: {problems:?}");
    }
    let operations = json!({"all": {"method": "POST", "path": "/", "paginate": {"by": "link"}}});
    let settings = json!({"base_url": "https://a.example", "operations": operations});
    let problems = build(&settings, SecretSlots::default()).err().unwrap();
    assert_eq!(pointers(&problems), ["/operations/all/paginate"]);
}
