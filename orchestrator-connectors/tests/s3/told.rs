//! The `s3` kind behaves as the ports say, with a store that does as it is told.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::connector::{ConnectorHarness, Sample, Seen, Told, ToldUpstream};
use orchestrator_core::connector::ConnectorKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Store {
    upstream: Arc<ToldUpstream>,
    filled: Vec<&'static str>,
}

impl Store {
    async fn with(filled: &[&'static str]) -> Self {
        let upstream = ToldUpstream::start(|upstream, socket| async move {
            let _ = serve(&upstream, socket).await;
        })
        .await;
        Self { upstream, filled: filled.to_vec() }
    }
}

/// One connection, until it ends.
async fn serve(upstream: &ToldUpstream, mut socket: TcpStream) -> Option<()> {
    loop {
        let text = read_request(&mut socket).await?;
        let _held = upstream.take(Seen { text: text.clone(), idempotency_key: None });
        let error = |status: u16, code: &str, message: &str| {
            let message = message.replace('&', "&amp;").replace('<', "&lt;");
            (status, String::new(), format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
        };
        let (status, headers, body) = match upstream.told() {
            Told::Succeed => success(&text, "content"),
            Told::Echo => success(&text, &text),
            Told::Refuse => error(403, "AccessDenied", &text),
            Told::Fail => error(500, "InternalError", &text),
            Told::AskToWait(wait) => (503, format!("Retry-After: {}\r\n", wait.as_secs()), String::new()),
            Told::Status(status) => error(status, "Told", "as told"),
            Told::BreakOff | Told::BeAway => return None,
            Told::Hang => {
                let mut rest = [0; 1024];
                while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
                return None;
            }
        };
        let (head, length) = (text.starts_with("HEAD "), body.len());
        let body = if head { String::new() } else { body };
        let answer = format!("HTTP/1.1 {status} Told\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        socket.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// What a store answers that does what it is asked.
fn success(request: &str, content: &str) -> (u16, String, String) {
    let meta = "ETag: \"e1\"\r\nLast-Modified: Tue, 24 Nov 2026 08:49:37 GMT\r\nx-amz-meta-a: b\r\n".to_owned();
    let list = request.lines().next().is_some_and(|line| line.contains("list-type=2"));
    let content = if list {
        let object = "<Contents><Key>x</Key><Size>1</Size><ETag>\"e1\"</ETag><LastModified>2026-11-24T08:49:37.000Z</LastModified></Contents>";
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{object}</ListBucketResult>")
    } else if request.contains("x-amz-copy-source") {
        "<CopyObjectResult><ETag>\"e1\"</ETag></CopyObjectResult>".to_owned()
    } else {
        content.to_owned()
    };
    if request.starts_with("DELETE ") { (204, meta, String::new()) } else { (200, meta, content) }
}

/// A request as it came; `None` if the connection ended before one did.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[async_trait]
impl ConnectorHarness for Store {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        Arc::new(super::kind())
    }

    fn settings(&self) -> Value {
        let address = self.upstream.address();
        json!({"bucket": "shop", "endpoint": format!("http://{address}")})
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        vec![
            (json!({}), ""),
            (json!({"bucket": "S"}), "/bucket"),
            (json!({"bucket": "shop", "endpoint": "nowhere"}), "/endpoint"),
            (json!({"bucket": "shop", "prefix": "/"}), "/prefix"),
        ]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        self.filled.clone()
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |operation, input, refused| Sample { operation, input, refused };
        vec![
            sample("put", json!({"key": "a/b.txt", "text": "x"}), vec![(json!({"key": "/", "text": "x"}), "/key")]),
            sample("get", json!({"key": "a/b.txt"}), vec![(json!({"key": "a//b"}), "/key"), (json!({}), "/key")]),
            sample("head", json!({"key": "a/b.txt"}), vec![(json!({"key": 1}), "/key")]),
            sample("list", json!({"prefix": "a", "delimiter": "/"}), vec![(json!({"max_keys": 0}), "/max_keys")]),
            sample("delete", json!({"key": "a/b.txt"}), vec![(json!({"key": ".."}), "/key")]),
            sample("copy", json!({"from": "a", "to": "b"}), vec![(json!({"from": "a"}), "/to")]),
        ]
    }

    async fn tell(&self, told: Told) -> bool {
        self.upstream.tell(told);
        true
    }

    fn seen(&self) -> Vec<Seen> {
        self.upstream.seen()
    }

    async fn until_held(&self, calls: usize) {
        self.upstream.until_held(calls).await;
    }
}

mod signed {
    use super::Store;

    orchestrator_conformance::connector_conformance!(
        Store::with(&["access_key_id", "secret_access_key", "session_token"]).await
    );
}

mod anonymous {
    use super::Store;

    orchestrator_conformance::connector_conformance!(Store::with(&[]).await);
}
