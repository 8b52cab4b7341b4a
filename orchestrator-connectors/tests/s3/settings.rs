//! Settings and inputs are told whole, and nothing leads where it must not.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_connectors::egress::Lookup;
use orchestrator_connectors::{EgressClient, EgressPolicy, S3Kind};
use orchestrator_core::connector::{CallErrorKind, ConnectorKind, PlanError, SecretSlots, Sent};
use serde_json::{Value, json};

use super::{call, connector, keys, kind, slots};

#[test]
fn every_problem_of_settings_is_told_at_once() {
    let problems = |settings: Value, slots: SecretSlots| kind().build(&settings, slots).map(drop).unwrap_err();
    let at = |settings: Value| -> Vec<String> {
        let mut at: Vec<_> =
            problems(settings, SecretSlots::default()).into_iter().map(|problem| problem.pointer).collect();
        at.sort_unstable();
        at
    };
    let every = json!({
        "bucket": "shop", "region": "EU West", "endpoint": "ftp://x", "addressing": "dns", "prefix": "../a",
        "part_bytes": 1, "access_key_id": "AK",
    });
    assert_eq!(at(every), ["/access_key_id", "/addressing", "/endpoint", "/part_bytes", "/prefix", "/region"]);
    assert_eq!(at(json!({})), ["/bucket"]);
    for endpoint in ["https://u:p@s3.example", "https://s3.example/?a=b", "s3.example", "https://127.0.0.1"] {
        let settings = json!({"bucket": "shop", "endpoint": endpoint, "addressing": "virtual_host"});
        assert_eq!(at(settings), ["/endpoint"], "{endpoint}");
    }
    for filled in [vec![("access_key_id", "x")], vec![("secret_access_key", "x")], vec![("session_token", "x")]] {
        assert_eq!(problems(json!({"bucket": "shop"}), slots(&filled))[0].pointer, "", "{filled:?}");
    }
}

#[test]
fn every_problem_of_an_input_is_told_at_once() {
    let files = connector(&json!({"bucket": "shop", "prefix": "a"}), keys());
    let refused = |operation: &str, input: Value| -> Vec<String> {
        let Err(PlanError::InvalidInput(problems)) = files.plan(operation, &input) else {
            panic!("{input} is refused")
        };
        let mut at: Vec<_> = problems.into_iter().map(|problem| problem.pointer).collect();
        at.sort_unstable();
        at
    };
    let put = json!({
        "key": "../b", "text": "x", "content_base64": "eA==", "content_type": "a\r\nb", "metadata": {"a b": "x", "c": "\u{e9}"},
        "if_absent": true, "if_match": "\"x\"", "acl": "public",
    });
    let every = ["/acl", "/content_base64", "/content_type", "/if_match", "/key", "/metadata/a b", "/metadata/c"];
    assert_eq!(refused("put", put), every);
    assert_eq!(refused("put", json!({"key": "x"})), ["/text"]);
    assert_eq!(refused("put", json!({"key": "x", "content_base64": "*"})), ["/content_base64"]);
    assert_eq!(refused("get", json!({"key": "x", "range": {"offset": u64::MAX, "length": 1}})), ["/range"]);
    assert_eq!(refused("list", json!({"max_keys": 1001})), ["/max_keys"]);
    assert_eq!(refused("copy", json!({"from": "/x", "to": "y/"})), ["/from", "/to"]);
    assert_eq!(refused("presign", json!({"key": "x", "expires_s": 604_801})), ["/expires_s"]);
    assert_eq!(refused("presign", json!({"key": "x", "content_type": "text/css"})), ["/content_type"]);
    let anonymous = connector(&json!({"bucket": "shop"}), SecretSlots::default());
    assert!(anonymous.plan("presign", &json!({"key": "x"})).is_err(), "nothing to sign with");
}

#[tokio::test]
async fn buckets_stand_where_the_settings_say() {
    for (settings, url) in [
        (json!({"bucket": "shop", "region": "eu-west-1"}), "https://shop.s3.eu-west-1.amazonaws.com/a/x%20y?"),
        (json!({"bucket": "shop", "addressing": "path"}), "https://s3.us-east-1.amazonaws.com/shop/a/x%20y?"),
        (
            json!({"bucket": "shop", "endpoint": "https://minio.example:9000/"}),
            "https://minio.example:9000/shop/a/x%20y?",
        ),
        (
            json!({"bucket": "shop", "endpoint": "https://s3.example", "addressing": "virtual_host"}),
            "https://shop.s3.example/a/x%20y?",
        ),
    ] {
        let signed = call(&connector(&settings, keys()), "presign", json!({"key": "a/x y"})).await.unwrap();
        assert!(signed["url"].as_str().unwrap().starts_with(url), "{signed}");
        assert!(signed["url"].as_str().unwrap().contains("X-Amz-Credential=AKTEST"), "{signed}");
    }
}

/// Names that lead where a tenant would like them to.
struct Names;

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let address = if name.ends_with("outside.test") { "198.41.0.4" } else { "10.0.0.7" };
        Ok(vec![address.parse().unwrap()])
    }
}

#[tokio::test]
async fn inv_26_objects_do_not_go_inside_unless_the_install_lets_them_nor_in_clear_outside() {
    let client = EgressClient::with_lookup(EgressPolicy::default(), Arc::new(Names)).unwrap();
    let kind = S3Kind::new(client);
    for endpoint in [
        "http://127.0.0.1:9",
        "https://127.0.0.1:9",
        "http://2130706433:9",
        "https://169.254.169.254",
        "http://inside.test",
        "https://inside.test",
        "http://outside.test",
    ] {
        let files = kind.build(&json!({"bucket": "shop", "endpoint": endpoint}), keys()).unwrap();
        for (operation, input) in
            [("get", json!({"key": "x"})), ("put", json!({"key": "x", "text": "x"})), ("list", json!({}))]
        {
            let failed = call(&files, operation, input).await.unwrap_err();
            assert_eq!(
                (failed.kind, failed.sent),
                (CallErrorKind::DestinationForbidden, Sent::No),
                "{endpoint}: {failed:?}"
            );
        }
    }
}
