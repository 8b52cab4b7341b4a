//! Objects that are put from payloads, and got into them.

use orchestrator_core::connector::{CallContext, CallErrorKind, Connector, PlanError, Sent};
use orchestrator_core::payload::PayloadAccess;
use orchestrator_core::types::PayloadId;
use serde_json::{Value, json};

use super::objects::store;
use super::{connector, context, keys};

fn payloads() -> PayloadAccess {
    PayloadAccess::in_memory("dev".parse().unwrap(), "shop-dev".parse().unwrap())
}

fn with(payloads: &PayloadAccess) -> CallContext {
    context().with_payloads(payloads.clone())
}

async fn kept(payloads: &PayloadAccess, got: &Value) -> Vec<u8> {
    let id: PayloadId = got["payload_ref"]["id"].as_str().unwrap().parse().unwrap();
    payloads.read(id, u64::MAX).await.unwrap().1.into()
}

#[tokio::test]
async fn large_objects_go_from_a_payload_to_the_store_and_into_another_payload() {
    let (_server, _folder, mut settings) = store().await;
    settings["part_bytes"] = json!(5 << 20);
    settings["max_get_bytes"] = json!(1 << 20);
    let files = connector(&settings, keys());
    let payloads = payloads();
    let large: Vec<u8> = (0..12 << 20).map(|at: u32| (at % 251) as u8).collect();
    let pdf = payloads.write_bytes("application/pdf", large.clone().into()).await.unwrap();

    let put = json!({"key": "large.pdf", "payload_ref": pdf, "metadata": {"a": "b"}});
    assert!(files.plan("put", &put).unwrap().idempotent);
    let stored = files.call(&with(&payloads), "put", &put).await.unwrap();
    assert_eq!((&stored["size"], &stored["parts"]), (&json!(12 << 20), &json!(3)));
    let got = files.call(&with(&payloads), "get", &json!({"key": "large.pdf"})).await.unwrap();
    assert_eq!((&got["content_type"], &got["metadata"]), (&json!("application/pdf"), &json!({"a": "b"})));
    assert_eq!((got.get("text"), got.get("content_base64")), (None, None));
    let reference = &got["payload_ref"];
    assert_eq!((&reference["size"], &reference["content_type"]), (&json!(12 << 20), &json!("application/pdf")));
    assert_eq!((&reference["sha256"], kept(&payloads, &got).await == large), (&json!(pdf.sha256), true));

    // A part of it that is larger than the bound goes the same way, one that is not stands in the output.
    let part = json!({"key": "large.pdf", "range": {"offset": 3, "length": 2 << 20}});
    let part = files.call(&with(&payloads), "get", &part).await.unwrap();
    assert!(kept(&payloads, &part).await == large[3..3 + (2 << 20)]);
    let part = json!({"key": "large.pdf", "range": {"offset": 1, "length": 1 << 20}});
    assert!(files.call(&with(&payloads), "get", &part).await.unwrap()["content_base64"].is_string());
    // Where there are no payloads, a large object is not got whole.
    let refused = files.call(&context(), "get", &json!({"key": "large.pdf"})).await.unwrap_err();
    assert_eq!(refused.kind, CallErrorKind::Rejected);
    assert!(refused.detail.contains("by `range`"), "{refused:?}");
}

#[tokio::test]
async fn small_payloads_go_whole_under_conditions_too_and_their_type_may_be_another() {
    let (_server, _folder, settings) = store().await;
    let files = connector(&settings, keys());
    let payloads = payloads();
    let text = payloads.write_bytes("text/css", "a{}".into()).await.unwrap();
    let once = json!({"key": "once", "payload_ref": {"id": text.id}, "if_absent": true});
    assert_eq!(files.call(&with(&payloads), "put", &once).await.unwrap()["parts"], 1);
    let again = files.call(&with(&payloads), "put", &once).await.unwrap_err();
    assert_eq!(again.upstream.unwrap().status, 412);
    let got = files.call(&with(&payloads), "get", &json!({"key": "once"})).await.unwrap();
    assert_eq!((&got["text"], &got["content_type"]), (&json!("a{}"), &json!("text/css")));
    assert_eq!(got.get("payload_ref"), None);
    let named = json!({"key": "named", "payload_ref": {"id": text.id}, "content_type": "text/plain"});
    files.call(&with(&payloads), "put", &named).await.unwrap();
    let looked = files.call(&with(&payloads), "head", &json!({"key": "named"})).await.unwrap();
    assert_eq!(looked["content_type"], "text/plain");

    let lost = json!({"key": "lost", "payload_ref": {"id": PayloadId::new()}});
    let failed = files.call(&with(&payloads), "put", &lost).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::PayloadLost, Sent::No), "{failed:?}");
    assert!(files.call(&context(), "head", &json!({"key": "lost"})).await.is_err(), "nothing was put");
}

#[test]
fn an_object_has_one_content() {
    let files = connector(&json!({"bucket": "shop"}), keys());
    let pointers = |input: Value| match Connector::plan(&*files, "put", &input) {
        Err(PlanError::InvalidInput(problems)) => {
            problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let id = PayloadId::new();
    assert_eq!(pointers(json!({"key": "x"})), ["/text"]);
    assert_eq!(pointers(json!({"key": "x", "text": "x", "payload_ref": {"id": id}})), ["/payload_ref"]);
    let all = json!({"key": "x", "text": "x", "content_base64": "YQ==", "payload_ref": {"id": id}});
    assert_eq!(pointers(all), ["/content_base64", "/payload_ref"]);
    assert!(pointers(json!({"key": "x", "payload_ref": {"id": "x"}}))[0].starts_with("/payload_ref"));
}
