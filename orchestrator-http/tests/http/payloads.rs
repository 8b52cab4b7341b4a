//! Payloads: uploaded, read whole and in part, referred to by answers.

use serde_json::{Value, json};

use crate::install::{self, Install, WORKSPACE};
use crate::kit::{Answer, Raw};

async fn upload(install: &Install, token: &str, content_type: &str, body: &str) -> Answer {
    let mut raw = Raw::connect(install.api).await;
    let typed = if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
    let head =
        format!("POST /payloads HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    raw.send(format!("{head}{typed}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    raw.answer().await.unwrap()
}

fn id(uploaded: &Answer) -> String {
    assert_eq!(uploaded.status, 201, "{}", uploaded.json());
    uploaded.json()["payload_ref"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_payload_is_uploaded_and_read_back() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let uploaded = upload(&install, &token, "text/plain; charset=utf-8", "hello").await;
    let reference = &uploaded.json()["payload_ref"];
    let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!((&reference["size"], &reference["sha256"]), (&json!(5), &json!(sha256)));
    assert_eq!(reference["content_type"], "text/plain; charset=utf-8");
    assert!(uploaded.json()["expires_at"].is_string());
    let path = format!("/payloads/{}", id(&uploaded));
    let read = install.get(&path, &token).await;
    assert_eq!((read.status, read.body.as_slice()), (200, &b"hello"[..]));
    let tag = format!("\"{sha256}\"");
    for (name, value) in [
        ("etag", tag.as_str()),
        ("accept-ranges", "bytes"),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "5"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-cache"),
    ] {
        assert_eq!(read.header(name), Some(value), "{name}");
    }
    assert!(read.header("content-disposition").unwrap().starts_with("attachment"));
    let known = install.send_with("GET", &path, &token, &format!("If-None-Match: {tag}\r\n"), None).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[tokio::test]
async fn a_head_tells_what_a_payload_is() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let path = format!("/payloads/{}", id(&upload(&install, &token, "image/png", "12345").await));
    let mut raw = Raw::connect(install.api).await;
    raw.send(format!(
        "HEAD {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    ))
    .await;
    let all = String::from_utf8(raw.end().await).unwrap().to_lowercase();
    assert!(all.starts_with("http/1.1 200") && all.ends_with("\r\n\r\n"), "{all}");
    assert!(all.contains("content-length: 5\r\n") && all.contains("content-type: image/png\r\n"), "{all}");
}

#[tokio::test]
async fn a_range_is_a_part_of_it() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    // Longer than two sealed frames.
    let text: String = (0..30_000).map(|number| format!("{number:05}")).collect();
    let path = format!("/payloads/{}", id(&upload(&install, &token, "text/plain", &text).await));
    let whole = install.get(&path, &token).await;
    assert_eq!(whole.body, text.as_bytes());
    let tag = whole.header("etag").unwrap().to_owned();
    let part = async |headers: &str| install.send_with("GET", &path, &token, headers, None).await;
    for (range, first, last) in
        [("0-0", 0, 0), ("65530-65540", 65_530, 65_540), ("149990-", 149_990, 149_999), ("-3", 149_997, 149_999)]
    {
        let read = part(&format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n")).await;
        assert_eq!(read.status, 206);
        assert_eq!(read.header("content-range"), Some(format!("bytes {first}-{last}/150000").as_str()));
        assert_eq!(read.body, text.as_bytes()[first..=last]);
    }
    let other = part("Range: bytes=0-0\r\nIf-Range: \"another\"\r\n").await;
    assert_eq!((other.status, other.body.len()), (200, 150_000));
    let beyond = part("Range: bytes=150000-\r\n").await;
    assert_eq!((beyond.status, beyond.json()["code"].as_str()), (416, Some("range_not_satisfiable")));
    assert_eq!(beyond.header("content-range"), Some("bytes */150000"));
}

#[tokio::test]
async fn inv_44_a_payload_of_another_workspace_is_none() {
    let install = install::start_onboarded().await;
    install.onboard("beauty-dev").await;
    let (ours, theirs) = (install.service(WORKSPACE), install.service("beauty-dev"));
    let known = id(&upload(&install, &theirs, "text/plain", "theirs").await);
    let never = format!("{}0000", &known[..known.len() - 4]);
    let without_trace = |answer: &Answer| {
        let mut problem = answer.json();
        problem.as_object_mut().unwrap().remove("trace_id");
        problem
    };
    let foreign = install.get(&format!("/payloads/{known}"), &ours).await;
    let absent = install.get(&format!("/payloads/{never}"), &ours).await;
    assert_eq!((foreign.status, without_trace(&foreign)), (404, without_trace(&absent)));
    for hostile in ["..%2f..%2fkek", "pay_..%2F..%2F..%2Fetc%2Fpasswd", "pay_%00", "job_01h455vb4pex5vsknk084sn02q"] {
        let answer = install.get(&format!("/payloads/{hostile}"), &ours).await;
        assert!(matches!(answer.status, 400 | 404), "{hostile}: {}", answer.status);
    }
    // Named in an input it is not there either.
    let call = json!({"connector": "fake", "operation": "echo", "input": {"file": {"payload_ref": {"id": known}}}});
    for path in ["/execute", "/jobs"] {
        let refused = install.send("POST", path, &ours, Some(call.clone())).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("invalid_input")), "{path}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/input/file/payload_ref/id");
        assert!(install.send("POST", path, &theirs, Some(call.clone())).await.status < 300);
    }
}

#[tokio::test]
async fn an_output_above_the_limit_is_referred_to() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let large = json!({"text": "x".repeat(70_000)});
    let call = |input: &Value| json!({"connector": "fake", "operation": "echo", "input": input});
    let small = install.send("POST", "/execute", &token, Some(call(&json!({"a": 1})))).await.json();
    assert_eq!(small["output"], json!({"a": 1}));
    let answer = install.send("POST", "/execute", &token, Some(call(&large))).await.json();
    let reference = &answer["output"]["payload_ref"];
    assert_eq!(answer["output"].as_object().unwrap().len(), 1);
    assert_eq!(reference["content_type"], "application/json");
    let keys: Vec<_> = reference.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    let read = install.get(&format!("/payloads/{}", reference["id"].as_str().unwrap()), &token).await;
    assert_eq!(read.json(), large);
    assert_eq!(reference["size"], read.body.len());
    let job = install.send("POST", "/jobs", &token, Some(call(&large))).await.json();
    let path = format!("/jobs/{}?wait_ms=20000", job["id"].as_str().unwrap());
    let job = install.get(&path, &token).await.json();
    assert_eq!(job["status"], "succeeded", "{job}");
    let reference = job["output"]["payload_ref"]["id"].as_str().unwrap();
    assert_eq!(install.get(&format!("/payloads/{reference}"), &token).await.json(), large);
}

#[tokio::test]
async fn an_upload_is_bounded_and_whole() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let head = format!("POST /payloads HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n");
    let mut raw = Raw::connect(install.api).await;
    raw.send(format!("{head}Content-Length: 99999999999\r\n\r\n")).await;
    let refused = raw.answer().await.unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (413, Some("body_too_large")));
    // Without an announced length it is cut off where it is too long.
    let mut raw = Raw::connect(install.api).await;
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    for _ in 0..=install::PAYLOAD_MIB {
        raw.send(&chunk).await;
    }
    assert_eq!(raw.answer().await.unwrap().status, 413);
    let encoded = install.send_with("POST", "/payloads", &token, "Content-Encoding: gzip\r\n", Some(json!(1))).await;
    assert_eq!(encoded.status, 415);
    let empty = upload(&install, &token, "", "").await;
    assert_eq!(empty.json()["payload_ref"]["content_type"], "application/octet-stream");
    let read = install.get(&format!("/payloads/{}", id(&empty)), &token).await;
    assert_eq!((read.status, read.body.len()), (200, 0));
}
