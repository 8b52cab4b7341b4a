//! Attachments that are payloads.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::connector::{CallContext, CallErrorKind, PlanError, Sent};
use orchestrator_core::payload::PayloadAccess;
use orchestrator_core::types::PayloadId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::delivery::bytes;
use super::{MailServer, connector, context, letter, slots};

fn payloads() -> PayloadAccess {
    PayloadAccess::in_memory("dev".parse().unwrap(), "shop-dev".parse().unwrap())
}

fn with(payloads: &PayloadAccess) -> CallContext {
    context("exe_1").with_payloads(payloads.clone())
}

fn carrying(attachments: Value) -> Value {
    let mut letter = letter("a@home.test");
    letter["attachments"] = attachments;
    letter
}

#[tokio::test]
async fn payloads_arrive_byte_by_byte_as_what_they_are() {
    let mut server = MailServer::start("clear").await;
    let connector = connector(&server.settings("none"), slots(&[]));
    let payloads = payloads();
    let every_byte: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let pdf = payloads.write_bytes("application/pdf", every_byte.clone().into()).await.unwrap();
    let form = payloads.write_bytes("multipart/form-data; boundary=x", Bytes::from_static(b"--x")).await.unwrap();
    let letter = carrying(json!([
        {"filename": "invoice.pdf", "payload_ref": pdf},
        {"filename": "photo.png", "content_type": "image/png", "payload_ref": {"id": pdf.id}},
        {"filename": "form", "payload_ref": {"id": form.id}},
        {"filename": "a.txt", "content_type": "text/plain", "content_base64": "YQ=="},
    ]));
    assert!(connector.plan("send", &letter).is_ok(), "{:?}", connector.plan("send", &letter));
    connector.call(&with(&payloads), "send", &letter).await.unwrap();
    let message = server.taken().await;
    let kinds =
        ["multipart/mixed", "text/plain", "application/pdf", "image/png", "application/octet-stream", "text/plain"];
    assert_eq!(message["structure"], json!(kinds));
    let parts = message["parts"].as_array().unwrap();
    assert_eq!((bytes(&parts[1]), &parts[1]["filename"]), (every_byte.clone(), &json!("invoice.pdf")));
    assert_eq!(bytes(&parts[2]), every_byte);
    assert_eq!((bytes(&parts[3]), bytes(&parts[4])), (b"--x".to_vec(), b"a".to_vec()));
}

#[tokio::test]
async fn nothing_is_sent_of_a_message_whose_payload_is_lost_or_too_large() {
    // Whoever connects is seen here.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    let settings = json!({
        "host": "127.0.0.1", "port": port, "tls": "none", "from": "shop@shop.test", "max_message_bytes": 10_000,
    });
    let connector = connector(&settings, slots(&[]));
    let payloads = payloads();
    let half = payloads.write_bytes("text/plain", vec![b'x'; 5_000].into()).await.unwrap();
    let file = |id| json!({"filename": "f", "payload_ref": {"id": id}});
    for (files, kind, said) in [
        (json!([file(PayloadId::new())]), CallErrorKind::PayloadLost, "there is no such payload"),
        (json!([file(half.id), file(half.id)]), CallErrorKind::Rejected, "larger than the settings"),
    ] {
        let failed = connector.call(&with(&payloads), "send", &carrying(files)).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (kind, Sent::No), "{failed:?}");
        assert!(failed.detail.contains(said), "{failed:?}");
    }
    // An install without payloads says so, and may have them later.
    let failed = connector.call(&context("exe_1"), "send", &carrying(json!([file(half.id)]))).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Failed, Sent::No), "{failed:?}");
    assert!(timeout(Duration::ZERO, nobody.accept()).await.is_err(), "somebody connected");
}

#[test]
fn an_attachment_has_one_content() {
    let settings = json!({"host": "mail.test", "from": "shop@shop.test"});
    let connector = connector(&settings, slots(&[]));
    let id = PayloadId::new();
    let refused = connector.plan(
        "send",
        &carrying(json!([
            {"filename": "both", "content_base64": "YQ==", "payload_ref": {"id": id}},
            {"filename": "neither"},
            {"filename": "one", "payload_ref": {"id": id}},
        ])),
    );
    let Err(PlanError::InvalidInput(problems)) = refused else { panic!("{refused:?}") };
    let found: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(found, ["/attachments/0/payload_ref", "/attachments/1/content_base64"]);
    let refused = connector.plan("send", &carrying(json!([{"filename": "x", "payload_ref": {"id": "pay_1"}}])));
    let Err(PlanError::InvalidInput(problems)) = refused else { panic!("{refused:?}") };
    assert_eq!(problems[0].pointer, "/attachments/0/payload_ref");
}
