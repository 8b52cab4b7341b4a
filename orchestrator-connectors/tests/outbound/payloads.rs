//! Bodies that are payloads.

use orchestrator_core::connector::{CallErrorKind, Sent};
use orchestrator_core::payload::PayloadAccess;
use orchestrator_core::types::PayloadId;
use serde_json::json;

use crate::kit::{connector, context, invalid, pointers};
use crate::upstream::{Upstream, answer};

#[tokio::test]
async fn a_payload_is_the_body_and_says_what_it_is() {
    let upstream = Upstream::answering(answer(204, "", "")).await;
    let connector = connector(&json!({
        "base_url": upstream.url(""),
        "operations": {"upload": {"method": "POST", "path": "/{name}", "body": "bytes"}},
    }));
    let payloads = PayloadAccess::in_memory("dev".parse().unwrap(), "shop-dev".parse().unwrap());
    let every_byte: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let image = payloads.write_bytes("image/png", every_byte.clone().into()).await.unwrap();
    let context = context().with_payloads(payloads);
    for (headers, expected) in [(json!({}), "image/png"), (json!({"Content-Type": "x/y"}), "x/y")] {
        let input = json!({"params": {"name": "a"}, "headers": headers, "payload_ref": image});
        connector.call(&context, "upload", &input).await.unwrap();
        let seen = upstream.last();
        assert_eq!((seen.header("content-type"), seen.body == every_byte), (Some(expected), true));
    }
    let asked = upstream.requests().len();
    let lost = json!({"method": "POST", "path": "/", "payload_ref": {"id": PayloadId::new()}});
    let failed = connector.call(&context, "request", &lost).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::PayloadLost, Sent::No), "{failed:?}");
    assert_eq!(upstream.requests().len(), asked, "nothing was sent");
}

#[test]
fn a_payload_is_one_body_among_others() {
    let connector = connector(&json!({
        "base_url": "https://a.example",
        "operations": {"post": {"method": "POST", "path": "/", "body": "json"}},
    }));
    let payload = json!({"id": PayloadId::new()});
    let both = json!({"method": "POST", "path": "/", "text": "x", "payload_ref": payload});
    assert_eq!(pointers(&invalid(connector.plan("request", &both))), ["/payload_ref"]);
    assert_eq!(pointers(&invalid(connector.plan("post", &json!({"payload_ref": payload})))), ["/payload_ref"]);
    let none = json!({"method": "POST", "path": "/", "payload_ref": {"id": "x"}});
    assert_eq!(pointers(&invalid(connector.plan("request", &none))), ["/payload_ref/id"]);
}
