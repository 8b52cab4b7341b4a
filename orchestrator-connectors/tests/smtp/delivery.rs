//! Messages arrive as they were meant, at a server that is not ours and that reads them with a library that is not ours.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{MailServer, connector, context, letter, login, send, slots};

pub(super) fn header<'a>(message: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = message["headers"].as_array().unwrap().iter();
    let found = headers.filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    found.map(|header| header[1].as_str().unwrap()).collect()
}

pub(super) fn bytes(part: &Value) -> Vec<u8> {
    BASE64.decode(part["base64"].as_str().unwrap().as_bytes()).unwrap()
}

fn text(part: &Value) -> String {
    String::from_utf8(bytes(part)).unwrap().replace("\r\n", "\n")
}

#[tokio::test]
async fn a_message_arrives_in_tls_and_logged_in_either_way() {
    for tls in ["tls", "starttls"] {
        let mut server = MailServer::start(tls).await;
        let connector = connector(&server.settings(tls), login());
        let output = send(&connector, letter("Anna <anna@home.test>")).await.unwrap();
        let message = server.taken().await;
        assert_eq!(
            output,
            json!({
                "message_id": "<exe_1.shop-dev@shop.test>", "accepted": ["anna@home.test"], "refused": [],
                "reply": "250 2.0.0 queued as 4711",
            })
        );
        assert_eq!((&message["tls"], &message["login"]), (&json!(true), &json!("user")), "{tls}");
        assert_eq!((&message["from"], &message["to"]), (&json!("shop@shop.test"), &json!(["anna@home.test"])));
        assert_eq!(header(&message, "From"), ["Shop <shop@shop.test>"]);
        assert_eq!(header(&message, "To"), ["Anna <anna@home.test>"]);
        assert_eq!(header(&message, "Subject"), ["Your order"]);
        assert_eq!(header(&message, "Message-ID"), ["<exe_1.shop-dev@shop.test>"]);
        assert_eq!(header(&message, "Date").len(), 1);
        assert_eq!(text(&message["parts"][0]).trim_end(), "It is on its way.");
    }
}

#[tokio::test]
async fn every_recipient_gets_it_and_nobody_sees_the_hidden_ones() {
    let mut server = MailServer::start("clear").await;
    let connector = connector(&server.settings("none"), slots(&[]));
    let output = send(
        &connector,
        json!({
            "from": "Zo\u{eb} <zoe@shop.test>", "reply_to": "help@shop.test", "to": ["a@home.test", "b@home.test"],
            "cc": ["C <c@home.test>", "a@home.test"], "bcc": ["boss@shop.test"], "subject": "Gr\u{fc}\u{df}e \u{2603}",
            "text": "x", "headers": {"X-Order": "4711", "List-Unsubscribe": "<https://shop.test/u?id=1>"},
        }),
    );
    let output = output.await.unwrap();
    let message = server.taken().await;
    let all = json!(["a@home.test", "b@home.test", "c@home.test", "boss@shop.test"]);
    assert_eq!((&message["to"], &output["accepted"]), (&all, &all), "each once");
    assert!(!message["raw"].as_str().unwrap().contains("boss"), "{}", message["raw"]);
    assert_eq!(header(&message, "From"), ["Zo\u{eb} <zoe@shop.test>"]);
    assert_eq!(header(&message, "Reply-To"), ["help@shop.test"]);
    assert_eq!(header(&message, "Cc"), ["C <c@home.test>, a@home.test"]);
    assert_eq!(header(&message, "Subject"), ["Gr\u{fc}\u{df}e \u{2603}"]);
    assert_eq!(header(&message, "X-Order"), ["4711"]);
    assert_eq!(header(&message, "List-Unsubscribe"), ["<https://shop.test/u?id=1>"]);
    assert_eq!((&message["tls"], &message["login"]), (&json!(false), &json!("")));
}

#[tokio::test]
async fn bodies_are_alternatives_and_files_arrive_byte_by_byte() {
    let mut server = MailServer::start("clear").await;
    let connector = connector(&server.settings("none"), slots(&[]));
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let (plain, html) = ("Hello.\n.\n..dots\nFrom here\n\u{e9}", "<p>Hello. <img src=\"cid:logo\"></p>");
    let input = json!({
        "to": ["a@home.test"], "subject": "s", "text": plain, "html": html,
        "attachments": [
            {"filename": "logo.png", "content_type": "image/png", "content_base64": "iVBORw0KGgo=", "content_id": "logo"},
            {"filename": "r\u{e9}sum\u{e9} 1.pdf", "content_type": "application/pdf", "content_base64": BASE64.encode(&every_byte)},
            {"filename": "notes.txt", "content_type": "text/plain", "content_base64": BASE64.encode(b"a\r\n.\r\nb\nc")},
        ],
    });
    send(&connector, input).await.unwrap();
    let message = server.taken().await;
    let structure = [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "text/plain",
    ];
    assert_eq!(message["structure"], json!(structure));
    let parts = message["parts"].as_array().unwrap();
    assert_eq!(text(&parts[0]).trim_end(), plain);
    assert_eq!(text(&parts[1]).trim_end(), html);
    assert_eq!((bytes(&parts[2]), &parts[2]["content_id"]), (b"\x89PNG\r\n\x1a\n".to_vec(), &json!("<logo>")));
    assert_eq!((bytes(&parts[3]), &parts[3]["filename"]), (every_byte, &json!("r\u{e9}sum\u{e9} 1.pdf")));
    assert_eq!(parts[3]["disposition"], "attachment");
    assert_eq!(bytes(&parts[4]), b"a\r\n.\r\nb\nc");
}

#[tokio::test]
async fn an_address_in_other_letters_goes_to_a_server_that_knows_them() {
    let mut server = MailServer::start("clear").await;
    let connector = connector(&server.settings("none"), slots(&[]));
    send(&connector, letter("j\u{f6}rg@home.test")).await.unwrap();
    let message = server.taken().await;
    assert_eq!(message["to"], json!(["j\u{f6}rg@home.test"]));
    assert!(message["options"].as_array().unwrap().contains(&json!("SMTPUTF8")));
}

#[tokio::test]
async fn connections_are_used_again_and_repetitions_carry_the_same_id() {
    let mut server = MailServer::start("starttls").await;
    let connector = connector(&server.settings("starttls"), login());
    let mut seen = Vec::new();
    for subject in ["job_1", "job_1", "job_2"] {
        connector.call(&context(subject), "send", &letter("a@home.test")).await.unwrap();
        let message = server.taken().await;
        seen.push((message["peer"].as_u64().unwrap(), header(&message, "Message-ID")[0].to_owned()));
    }
    assert!(seen.iter().all(|(peer, _)| *peer == seen[0].0), "one connection: {seen:?}");
    assert_eq!(seen[0].1, seen[1].1);
    assert_ne!(seen[0].1, seen[2].1);
}

#[tokio::test]
async fn health_asks_whether_the_server_lets_us_in() {
    use orchestrator_core::connector::{CallErrorKind, HealthCheck};
    let server = MailServer::start("tls").await;
    let good = connector(&server.settings("tls"), login());
    assert_eq!(good.health(&context("req_1")).await.unwrap(), HealthCheck::Passed);
    let bad = connector(&server.settings("tls"), slots(&[("username", "user"), ("password", "wrong")]));
    let failed = bad.health(&context("req_1")).await.unwrap_err();
    assert_eq!((failed.kind, failed.upstream.unwrap().status), (CallErrorKind::Rejected, 535));
}
