//! Where mail may go, and what protects it on the way.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_connectors::egress::Lookup;
use orchestrator_connectors::{EgressClient, EgressPolicy, SmtpKind};
use orchestrator_core::connector::{CallErrorKind, Connector, ConnectorKind, SecretSlots, Sent};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::{MailServer, connector, letter, login, send, slots};

/// Names that lead where a tenant would like them to.
struct Names;

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "inside.test" => Ok(vec!["10.0.0.7".parse().unwrap()]),
            "both.test" => Ok(vec!["10.0.0.7".parse().unwrap(), "127.0.0.1".parse().unwrap()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn guarded(allow: &[&str], settings: &Value) -> Arc<dyn Connector> {
    let policy = EgressPolicy::new(allow.iter().map(|range| range.parse().unwrap()).collect());
    let client = EgressClient::with_lookup(policy, Arc::new(Names)).unwrap();
    SmtpKind::new(client).build(settings, SecretSlots::default()).unwrap()
}

#[tokio::test]
async fn inv_26_mail_does_not_go_inside_unless_the_install_lets_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in
        ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254", "inside.test", "both.test"]
    {
        let settings = json!({"host": host, "port": port, "tls": "none", "from": "a@b.test"});
        let failed = send(&guarded(&[], &settings), letter("a@home.test")).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{host}: {failed:?}");
    }
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none(), "nobody knocked");
    let settings = json!({"host": "nobody.test", "port": port, "from": "a@b.test"});
    let failed = send(&guarded(&[], &settings), letter("a@home.test")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No));
}

#[tokio::test]
async fn inv_26_of_the_addresses_of_a_name_only_those_that_may_be_reached_are() {
    let mut server = MailServer::start("clear").await;
    let settings = json!({"host": "both.test", "port": server.port, "tls": "none", "from": "a@b.test"});
    send(&guarded(&["127.0.0.0/8"], &settings), letter("a@home.test")).await.unwrap();
    assert_eq!(server.taken().await["to"], json!(["a@home.test"]));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_mail() {
    for tls in ["tls", "starttls"] {
        let server = MailServer::start(tls).await;
        let mut unknown = server.settings(tls);
        unknown.as_object_mut().unwrap().remove("ca_certificates");
        let mut other_name = server.settings(tls);
        other_name["host"] = json!("127.0.0.2");
        for settings in [unknown, other_name] {
            let failed = send(&connector(&settings, login()), letter("a@home.test")).await.unwrap_err();
            assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No), "{failed:?}");
        }
    }
}

#[tokio::test]
async fn without_starttls_on_offer_nothing_is_said() {
    let server = MailServer::start("clear").await;
    let failed = send(&connector(&server.settings("starttls"), login()), letter("a@home.test")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::No), "{failed:?}");
}

/// A server that says each line when it is spoken to, and whatever follows with it.
async fn scripted(lines: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = socket.into_split();
                let mut read = BufReader::new(read).lines();
                for line in lines {
                    if write.write_all(line.as_bytes()).await.is_err() {
                        return;
                    }
                    read.next_line().await.ok();
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn what_is_said_before_tls_is_not_believed_after_it() {
    // Somebody on the way adds a reply, which the client would take for the answer to what it says in TLS.
    let port = scripted(&["220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n", "220 go\r\n250 AUTH PLAIN\r\n"]).await;
    let settings = json!({"host": "127.0.0.1", "port": port, "tls": "starttls", "from": "a@b.test"});
    let failed = send(&connector(&settings, slots(&[])), letter("a@home.test")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No));
    assert!(failed.detail.contains("more than it was asked"), "{failed:?}");
}

#[tokio::test]
async fn inv_29_a_server_that_talks_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move { while socket.write_all(&[b'2'; 4096]).await.is_ok() {} });
        }
    });
    for tls in ["none", "starttls"] {
        let settings = json!({"host": "127.0.0.1", "port": port, "tls": tls, "from": "a@b.test"});
        let failed = send(&connector(&settings, slots(&[])), letter("a@home.test")).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No), "{failed:?}");
    }
}

#[tokio::test]
async fn inv_34_a_server_that_is_silent_is_not_waited_for_beyond_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings =
        json!({"host": "127.0.0.1", "port": port, "tls": "none", "from": "a@b.test", "connect_timeout_ms": 100});
    let failed = send(&connector(&settings, slots(&[])), letter("a@home.test")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No));
    drop(listener);

    // It greets and takes the sender, and then says nothing more.
    let port = scripted(&["220 hi\r\n", "250 hi\r\n", ""]).await;
    let settings =
        json!({"host": "127.0.0.1", "port": port, "tls": "none", "from": "a@b.test", "reply_timeout_ms": 100});
    let failed = send(&connector(&settings, slots(&[])), letter("a@home.test")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Failed, Sent::No), "{failed:?}");
}

#[test]
fn bad_settings_are_refused_with_pointers() {
    let problems = |settings: Value, slots: SecretSlots| super::kind().build(&settings, slots).map(drop).unwrap_err();
    let pointers = |settings: Value| -> Vec<String> {
        problems(settings, SecretSlots::default()).into_iter().map(|problem| problem.pointer).collect()
    };
    let every = json!({"host": "a b", "port": 0, "tls": "ssl", "from": "x", "ca_certificates": "none", "pool_size": 99, "user": "u"});
    let mut found = pointers(every);
    found.sort_unstable();
    assert_eq!(found, ["/ca_certificates", "/from", "/host", "/pool_size", "/port", "/tls", "/user"]);
    assert_eq!(pointers(json!({})), ["/host"]);
    let one = slots(&[("password", "x")]);
    assert_eq!(problems(json!({"host": "mail.example"}), one)[0].pointer, "");
}
