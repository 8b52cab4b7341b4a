//! Proxies that the settings name: a real one, and the guard before and behind it.

use orchestrator_conformance::servers::{Program, PythonServer};
use orchestrator_connectors::EgressClient;
use orchestrator_core::connector::{CallErrorKind, SecretSlots, Sent};
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::kit::{build, build_as, connector, context, filled, pointers};
use crate::upstream::{Canary, Scripted, Upstream, allowing, answer};

fn get() -> Value {
    json!({"method": "GET", "path": "/x?y=1"})
}

fn proxy() -> PythonServer {
    PythonServer::start(&["pproxy==2.7.9"], Program::Module("pproxy"), &["-v", "-l", "http://127.0.0.1:{port}"])
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_through_a_real_proxy() {
    let upstream = Upstream::answering(answer(200, "", "through")).await;
    let server = proxy();
    let settings = json!({"base_url": upstream.url("/api"), "proxy": server.url("")});
    let output = connector(&settings).call(&context(), "request", &get()).await.unwrap();
    assert_eq!((&output["body"], output["status"].as_u64()), (&json!("through"), Some(200)));
    assert_eq!(upstream.last().target, "/api/x?y=1");
    assert!(server.output().contains(&upstream.address.to_string()), "the proxy was asked for it: {}", server.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_through_a_tunnel_and_ends_at_the_upstream() {
    let (server, certificates) = (proxy(), Certificates::new());
    let upstream = certificates.serve("required");
    let client = certificates.client("through the tunnel");
    let mut settings = certificates.settings(&upstream);
    settings["proxy"] = json!(server.url(""));
    let secrets = filled(&[("client_certificate", &client.certificate), ("client_key", &client.key)]);
    let output = build(&settings, secrets).unwrap().call(&context(), "request", &get()).await.unwrap();
    assert_eq!(output["body"]["client"], "through the tunnel");
    let address = upstream.address().to_string();
    assert!(server.output().contains(&address), "the proxy was asked for it: {}", server.output());
}

#[tokio::test]
async fn the_proxys_password_goes_to_the_proxy_and_the_credentials_of_the_call_into_the_tunnel() {
    let proxy = Upstream::answering_once(answer(407, "", "")).await;
    let secrets = || filled(&[("proxy", "user:p4ss"), ("bearer", "tok-canary")]);
    for (base, target, bearer) in [
        ("http://127.0.0.1:1", "http://127.0.0.1:1/x?y=1", Some("Bearer tok-canary")),
        // What is asked of the proxy is a tunnel; the call itself is for nobody but the upstream.
        ("https://127.0.0.1:1", "127.0.0.1:1", None),
    ] {
        let settings = json!({"base_url": base, "proxy": proxy.url("")});
        let failed = build(&settings, secrets()).unwrap().call(&context(), "request", &get()).await.unwrap_err();
        assert!(!format!("{failed:?}").contains("p4ss"), "{failed:?}");
        let seen = proxy.last();
        assert_eq!((seen.target.as_str(), seen.header("proxy-authorization")), (target, Some("Basic dXNlcjpwNHNz")));
        assert_eq!(seen.header("authorization"), bearer);
    }
    let settings = json!({"base_url": "http://127.0.0.1:1", "proxy": proxy.url("")});
    let crooked = build(&settings, filled(&[("proxy", "canary-without-colon")])).unwrap();
    let failed = crooked.call(&context(), "request", &get()).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::SecretUnavailable, Sent::No));
    assert!(!failed.detail.contains("canary"));
}

#[tokio::test]
async fn a_proxy_that_is_away_is_unreachable_and_nothing_was_sent() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let closed = Canary::at("127.0.0.1:0").await.address();
    let settings = json!({"base_url": upstream.url(""), "proxy": format!("http://{closed}")});
    let failed = connector(&settings).call(&context(), "request", &get()).await.unwrap_err();
    assert_eq!((failed.kind, failed.sent), (CallErrorKind::Unreachable, Sent::No));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn inv_26_a_proxy_inside_is_not_connected_to() {
    let canary = Canary::at("127.0.0.2:0").await;
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let lookup = Scripted::new(|_, _| vec!["127.0.0.2"]);
    let client = EgressClient::with_lookup(allowing(&["127.0.0.1/32"]), lookup).unwrap();
    for host in ["127.0.0.2", "proxy.example", "[::ffff:127.0.0.2]", "2130706434", "localhost"] {
        let proxy = format!("http://{host}:{}", canary.address().port());
        let settings = json!({"base_url": upstream.url(""), "proxy": proxy});
        let connector = build_as("http", client.clone(), &settings, SecretSlots::default()).unwrap();
        let refused = connector.call(&context(), "request", &get()).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{host}");
    }
    assert_eq!(upstream.connections(), 0);
    canary.saw_nobody().await;
}

#[tokio::test]
async fn inv_26_a_destination_behind_a_proxy_is_judged_as_any_other() {
    let proxy = Upstream::answering(answer(200, "", "from the proxy")).await;
    let lookup = Scripted::new(|name, _| match name {
        "inside.example" => vec!["10.0.0.1"],
        "mixed.example" => vec!["127.0.0.1", "169.254.169.254"],
        _ => vec!["127.0.0.1"],
    });
    let client = EgressClient::with_lookup(allowing(&["127.0.0.1/32"]), lookup).unwrap();
    let call = async |base: &str| {
        let settings = json!({"base_url": base, "proxy": proxy.url("")});
        let connector = build_as("http", client.clone(), &settings, SecretSlots::default()).unwrap();
        connector.call(&context(), "request", &get()).await
    };
    for base in [
        "http://inside.example",
        "https://inside.example",
        "http://mixed.example",
        "http://10.0.0.1",
        "http://[::1]",
        "https://169.254.169.254",
    ] {
        let refused = call(base).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{base}");
    }
    assert_eq!(proxy.connections(), 0);
    assert_eq!(call("http://outside.example/api").await.unwrap()["body"], "from the proxy");
    assert_eq!(proxy.last().target, "http://outside.example/api/x?y=1");
}

#[tokio::test]
async fn inv_26_an_own_listener_is_no_proxy() {
    let own = Canary::at("127.0.0.1:0").await;
    let policy = allowing(&["127.0.0.0/8"]).refusing_own(vec![own.address()]);
    let client = EgressClient::with_lookup(policy, Scripted::new(|_, _| vec!["127.0.0.1"])).unwrap();
    for host in ["127.0.0.1", "proxy.example"] {
        let proxy = format!("http://{host}:{}", own.address().port());
        let settings = json!({"base_url": "http://outside.example", "proxy": proxy});
        let connector = build_as("http", client.clone(), &settings, SecretSlots::default()).unwrap();
        let refused = connector.call(&context(), "request", &get()).await.unwrap_err();
        assert_eq!(refused.kind, CallErrorKind::DestinationForbidden, "{host}");
    }
    own.saw_nobody().await;
}

#[test]
fn a_proxy_that_cannot_be_one_is_refused() {
    for proxy in
        ["proxy.example", "socks5://p.example", "http://u:p@p.example", "http://p.example/path", "http://p.example?x"]
    {
        let settings = json!({"base_url": "https://a.example", "proxy": proxy});
        assert_eq!(pointers(&build(&settings, SecretSlots::default()).err().unwrap()), ["/proxy"], "{proxy}");
    }
    let bare = json!({"base_url": "https://a.example"});
    assert_eq!(pointers(&build(&bare, filled(&[("proxy", "u:p")])).err().unwrap()), ["/proxy"]);
}
