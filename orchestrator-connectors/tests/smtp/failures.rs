//! What a server refuses is told by code and recipient, and so that what may be sent again is.

use orchestrator_core::connector::{CallErrorKind, PlanError, Sent};
use serde_json::{Value, json};

use super::{MailServer, connector, letter, login, send, slots};

#[tokio::test]
async fn codes_tell_what_may_pass_and_what_is_final() {
    let server = MailServer::start("clear").await;
    let connector = connector(&server.settings("none"), slots(&[]));
    let to = |address: &str, subject: &str| json!({"to": [address], "subject": subject, "text": "x"});
    let mut from = to("a@home.test", "s");
    from["from"] = json!("quota@shop.test");
    for (input, kind, code) in [
        (to("later-anna@home.test", "s"), CallErrorKind::Failed, 451),
        (to("no-anna@home.test", "s"), CallErrorKind::Rejected, 550),
        (to("a@home.test", "busy"), CallErrorKind::Failed, 451),
        (to("a@home.test", "spam"), CallErrorKind::Rejected, 554),
        (from, CallErrorKind::Failed, 452),
    ] {
        let failed = send(&connector, input.clone()).await.unwrap_err();
        // The server said no: it has not taken the message, and sending it again cannot make two of it.
        assert_eq!((failed.kind, failed.sent), (kind, Sent::No), "{input}: {failed:?}");
        assert_eq!(failed.upstream.unwrap().status, code, "{input}");
    }
}

#[tokio::test]
async fn those_who_were_refused_are_told_and_the_others_get_it() {
    let mut server = MailServer::start("clear").await;
    let connector = connector(&server.settings("none"), slots(&[]));
    let mut input = json!({
        "to": ["a@home.test", "no-b@home.test"], "cc": ["later-c@home.test"], "subject": "s", "text": "x",
    });
    let output = send(&connector, input.clone()).await.unwrap();
    assert_eq!(output["accepted"], json!(["a@home.test"]));
    let refused = json!([
        {"recipient": "no-b@home.test", "code": 550, "reply": "5.1.1 nobody of that name", "may_pass": false},
        {"recipient": "later-c@home.test", "code": 451, "reply": "4.7.1 greylisted", "may_pass": true},
    ]);
    assert_eq!(output["refused"], refused);
    assert_eq!(server.taken().await["to"], json!(["a@home.test"]));

    input["all_or_nobody"] = json!(true);
    let failed = send(&connector, input.clone()).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::No), "one of them for good");
    assert_eq!(failed.upstream.unwrap().body, json!({"refused": refused}));

    input["to"] = json!(["a@home.test"]);
    let failed = send(&connector, input).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Failed, Sent::No), "it may pass");
    // The next message on the same connection is a new one.
    send(&connector, letter("z@home.test")).await.unwrap();
    assert_eq!(server.taken().await["to"], json!(["z@home.test"]));
}

#[tokio::test]
async fn a_wrong_password_is_final_and_is_not_shown() {
    let server = MailServer::start("starttls").await;
    let connector =
        connector(&server.settings("starttls"), slots(&[("username", "user"), ("password", "s3cret-word")]));
    let failed = send(&connector, letter("a@home.test")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::No));
    assert_eq!(failed.upstream.as_ref().unwrap().status, 535);
    assert!(!format!("{failed:?}").contains("s3cret"), "{failed:?}");
}

#[tokio::test]
async fn every_problem_of_a_message_is_told_at_once() {
    let settings = json!({"host": "mail.example", "max_message_bytes": 1_000});
    let connector = connector(&settings, login());
    let input = json!({
        "reply_to": "nobody", "to": ["a@home.test", "not an address"], "cc": ["a@home.test\r\nBcc: x@y.test"],
        "subject": "a\r\nBcc: victim@home.test", "colour": "blue",
        "headers": {"X-A": "1\r\nX-B: 2", "Bcc": "x@y.test", "X-Fine": "1"},
        "attachments": [{"filename": "../x", "content_type": "x", "content_base64": "***", "content_id": "i"}],
    });
    let Err(PlanError::InvalidInput(problems)) = connector.plan("send", &input) else { panic!("it is refused") };
    let mut pointers: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    pointers.sort_unstable();
    let expected = [
        "/attachments/0/content_base64",
        "/attachments/0/content_id",
        "/attachments/0/content_type",
        "/attachments/0/filename",
        "/cc/0",
        "/colour",
        "/from",
        "/headers/Bcc",
        "/headers/X-A",
        "/reply_to",
        "/subject",
        "/text",
        "/to/1",
    ];
    assert_eq!(pointers, expected);

    let refused_at = |input: Value| match connector.plan("send", &input) {
        Err(PlanError::InvalidInput(problems)) => problems[0].pointer.clone(),
        other => panic!("{other:?}"),
    };
    let mut large = letter("a@home.test");
    large["from"] = json!("a@b.test");
    large["text"] = json!("x".repeat(1_001));
    assert_eq!(refused_at(large), "");
    let nobody = json!({"from": "a@b.test", "subject": "s", "text": "t"});
    assert_eq!(refused_at(nobody), "/to");
    assert_eq!(connector.plan("verify", &letter("a@b.test")), Err(PlanError::OperationNotFound));
}

#[tokio::test]
async fn whether_a_message_may_be_sent_twice_is_the_servers_word() {
    let once = json!({"host": "mail.example", "from": "a@b.test"});
    assert!(!connector(&once, login()).plan("send", &letter("a@home.test")).unwrap().idempotent);
    let twice = json!({"host": "mail.example", "from": "a@b.test", "dedupes_by_message_id": true});
    assert!(connector(&twice, login()).plan("send", &letter("a@home.test")).unwrap().idempotent);
}
