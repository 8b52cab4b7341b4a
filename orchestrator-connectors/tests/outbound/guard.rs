//! The guard at work: nothing forbidden is ever connected to.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_connectors::egress::EgressClient;
use orchestrator_core::connector::{CallErrorKind, Sent};

use crate::upstream::{Canary, Scripted, Upstream, allowing, answer, client, get, soon};

#[tokio::test]
async fn inv_26_a_literal_of_an_inner_address_is_not_connected_to() {
    let canary = Canary::at("127.0.0.1:0").await;
    let lookup = Scripted::new(|_, _| vec!["127.0.0.1"]);
    let client = EgressClient::with_lookup(allowing(&[]), lookup.clone()).unwrap();
    let port = canary.address().port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let refused = get(&client, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{host}");
    }
    assert_eq!(lookup.asked(), 0);
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_26_a_name_that_resolves_inside_is_not_connected_to() {
    let canary = Canary::at("127.0.0.1:0").await;
    let inside = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1"];
    for address in inside {
        let client = EgressClient::with_lookup(allowing(&[]), Scripted::new(move |_, _| vec![address])).unwrap();
        for name in ["inside.example", "localhost", "localhost."] {
            let refused = get(&client, &format!("http://{name}:{}/", canary.address().port())).await.unwrap_err();
            assert_eq!(
                (refused.kind, refused.sent),
                (CallErrorKind::DestinationForbidden, Sent::No),
                "{name} {address}"
            );
            assert!(!refused.detail.contains(address), "{}", refused.detail);
        }
    }
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_26_of_a_name_with_inner_and_outer_addresses_only_the_outer_are_connected_to() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let port = upstream.address.port();
    let canary = Canary::at(&format!("127.0.0.2:{port}")).await;
    let lookup = Scripted::new(|_, _| vec!["127.0.0.2", "127.0.0.1"]);
    let client = EgressClient::with_lookup(allowing(&["127.0.0.1/32"]), lookup).unwrap();
    assert_eq!(get(&client, &format!("http://mixed.example:{port}/")).await.unwrap().status, 200);
    assert_eq!(upstream.connections(), 1);
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_26_a_name_that_changes_its_answer_is_judged_anew() {
    let upstream = Upstream::answering_once(answer(200, "Connection: close\r\n", "")).await;
    let port = upstream.address.port();
    let canary = Canary::at(&format!("127.0.0.2:{port}")).await;
    let lookup = Scripted::new(|_, turn| if turn % 2 == 0 { vec!["127.0.0.1"] } else { vec!["127.0.0.2"] });
    let client = EgressClient::with_lookup(allowing(&["127.0.0.1/32"]), lookup.clone()).unwrap();
    let url = format!("http://rebinding.example:{port}/");
    for turn in 0..6 {
        let outcome = get(&client, &url).await;
        match outcome {
            Ok(answer) => assert!(turn % 2 == 0 && answer.status == 200, "turn {turn}"),
            Err(refused) => {
                assert!(turn % 2 == 1, "turn {turn}: {refused}");
                assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No));
            }
        }
        // One lookup a connection: none between the check and the use.
        assert_eq!(lookup.asked(), turn + 1);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(6)).await;
        tokio::time::resume();
    }
    assert_eq!(upstream.connections(), 3);
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_26_a_redirect_is_not_followed() {
    let canary = Canary::at("127.0.0.1:0").await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://{}/\r\nRefresh: 0\r\n", canary.address());
        let upstream = Upstream::answering(answer(status, &location, "gone")).await;
        let told = get(&client(), &upstream.url("/")).await.unwrap();
        assert_eq!((told.status.as_u16(), &told.body[..]), (status, &b"gone"[..]));
        assert_eq!(upstream.requests().len(), 1);
    }
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_26_own_listeners_are_not_connected_to_by_any_name() {
    let listener = Canary::at("127.0.0.1:0").await;
    let port = listener.address().port();
    let lookup =
        Scripted::new(|name, _| if name == "six.example" { vec!["::ffff:127.0.0.1"] } else { vec!["127.0.0.1"] });
    for own in [listener.address(), ([0, 0, 0, 0], port).into(), (std::net::Ipv6Addr::UNSPECIFIED, port).into()] {
        let policy = allowing(&["127.0.0.0/8"]).refusing_own(vec![own]);
        let client = EgressClient::with_lookup(policy, lookup.clone()).unwrap();
        for host in ["own.example", "six.example", "localhost", "127.0.0.1", "0.0.0.0"] {
            let refused = get(&client, &format!("http://{host}:{port}/")).await.unwrap_err();
            assert_eq!(refused.kind, CallErrorKind::DestinationForbidden, "{own} {host}");
        }
        // The same address on another port, and by the same name, is somebody else's.
        let upstream = Upstream::answering(answer(200, "", "")).await;
        let elsewhere = format!("http://own.example:{}/", upstream.address.port());
        assert_eq!(get(&client, &elsewhere).await.unwrap().status, 200);
    }
    listener.saw_nobody().await;
}

#[tokio::test]
async fn an_address_beside_an_own_listener_on_its_port_is_reached() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let own = ([127, 0, 0, 2], upstream.address.port()).into();
    let policy = allowing(&["127.0.0.0/8"]).refusing_own(vec![own]);
    let client = EgressClient::with_lookup(policy, Scripted::new(|_, _| vec!["127.0.0.1"])).unwrap();
    let url = format!("http://beside.example:{}/", upstream.address.port());
    assert_eq!(get(&client, &url).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_without_addresses_and_a_closed_port_are_unreachable_and_nothing_was_sent() {
    let client_of = |addresses: &'static [&'static str]| {
        EgressClient::with_lookup(allowing(&["127.0.0.0/8"]), Scripted::new(move |_, _| addresses.to_vec())).unwrap()
    };
    let unknown = get(&client_of(&[]), "http://nowhere.example/").await.unwrap_err();
    assert_eq!((unknown.kind, unknown.sent), (CallErrorKind::Unreachable, Sent::No));
    let closed = Canary::at("127.0.0.1:0").await.address();
    for url in [format!("http://{closed}/"), format!("http://closed.example:{}/", closed.port())] {
        let refused = get(&client_of(&["127.0.0.1"]), &url).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::Unreachable, Sent::No));
        assert!(!refused.detail.contains("127.0.0.1"), "{}", refused.detail);
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_unreachable_and_nothing_was_sent() {
    let upstream = Upstream::answering_once("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let failed = get(&client(), &format!("https://{plain}/")).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No));
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::answering(answer(200, "", "ok")).await;
    let client = client();
    for _ in 0..5 {
        assert_eq!(&get(&client, &upstream.url("/")).await.unwrap().body[..], b"ok");
    }
    assert_eq!(upstream.connections(), 1);
}

/// Tells the child process of the next test where the upstream is.
const CHILD: &str = "OUTBOUND_TEST_UPSTREAM";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_26_proxies_of_the_environment_are_ignored() {
    if let Ok(url) = std::env::var(CHILD) {
        return call_with_a_proxy_in_the_environment(&url).await;
    }
    let upstream = Upstream::answering_once(answer(200, "", "direct")).await;
    let proxy = Upstream::answering_once(answer(200, "", "proxied")).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "guard::inv_26_proxies_of_the_environment_are_ignored", "--nocapture"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url(""));
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD").env(CHILD, upstream.url("/"));
    let done = soon(tokio::task::spawn_blocking(move || child.output())).await.unwrap().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    // The proxy saw the one client that has no guard, and nobody else.
    assert_eq!((proxy.requests().len(), upstream.requests().len()), (1, 1));
}

#[allow(clippy::disallowed_methods, reason = "proves that the environment would divert a client without the guard")]
async fn call_with_a_proxy_in_the_environment(url: &str) {
    let unguarded = reqwest::Client::new().get(url).send().await.unwrap();
    assert_eq!(unguarded.text().await.unwrap(), "proxied");
    assert_eq!(&get(&client(), url).await.unwrap().body[..], b"direct");
}

#[tokio::test]
async fn many_calls_at_once_to_one_name_ask_for_it_once() {
    let upstream = Arc::new(Upstream::answering(answer(200, "", "")).await);
    let lookup = Scripted::new(|_, _| vec!["127.0.0.1"]);
    let client = EgressClient::with_lookup(allowing(&["127.0.0.0/8"]), lookup.clone()).unwrap();
    let url = format!("http://many.example:{}/", upstream.address.port());
    let calls = (0..50).map(|_| get(&client, &url));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(lookup.asked(), 1);
}
