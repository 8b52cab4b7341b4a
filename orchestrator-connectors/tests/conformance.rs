//! The `http` kind behaves as the ports say, against a socket of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::connector::{ConnectorHarness, Sample, Seen, Told, ToldUpstream};
use orchestrator_connectors::{EgressClient, EgressPolicy, HttpKind};
use orchestrator_core::connector::ConnectorKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An HTTP server that does as it is told, and a place where nobody listens.
struct Http {
    upstream: Arc<ToldUpstream>,
    filled: Vec<&'static str>,
}

impl Http {
    async fn with(filled: &[&'static str]) -> Self {
        let upstream = ToldUpstream::start(serve).await;
        Self { upstream, filled: filled.to_vec() }
    }
}

impl Http {
    /// The URL of the upstream as it was last told, or of nobody.
    fn base(&self) -> String {
        format!("http://{}", self.upstream.address())
    }
}

#[async_trait]
impl ConnectorHarness for Http {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        Arc::new(HttpKind::new(EgressClient::new(policy).unwrap()))
    }

    fn settings(&self) -> Value {
        let mut settings = json!({
            "base_url": format!("{}/api", self.base()), "idempotency_header": "Idempotency-Key", "webhook_path": "/in",
            "health_path": "/healthz",
            "operations": {"refund": {"method": "POST", "path": "/v1/charges/{charge}/refunds"}},
        });
        if self.filled.contains(&"header") {
            settings["header_name"] = json!("X-Api-Key");
        }
        settings
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        let base = |url: &str| json!({"base_url": url});
        vec![
            (json!({}), ""),
            (base("ftp://a.example"), "/base_url"),
            (base("https://user:pass@a.example"), "/base_url"),
            (json!({"base_url": "https://a.example", "headers": {"Authorization": "x"}}), "/headers/Authorization"),
        ]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        self.filled.clone()
    }

    fn samples(&self) -> Vec<Sample> {
        let request = json!({"method": "GET", "path": "/v1/invoices", "query": {"limit": 5}});
        let refused = vec![
            (json!({"method": "fetch", "path": "/"}), "/method"),
            (json!({"method": "GET", "path": "/../x"}), "/path"),
            (json!({"method": "GET", "path": "/", "headers": {"Host": "evil"}}), "/headers/Host"),
            (json!({"method": "GET", "path": "/", "no-such-field": 1}), "/no-such-field"),
        ];
        let refund = json!({"params": {"charge": "ch_1"}, "json": {"amount": 5}});
        let unfilled = vec![(json!({}), "/params/charge"), (json!({"params": {"charge": "../x"}}), "/params/charge")];
        vec![
            Sample { operation: "request", input: request, refused },
            Sample { operation: "refund", input: refund, refused: unfilled },
            Sample { operation: "webhook", input: json!({"type": "invoice.paid"}), refused: Vec::new() },
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

async fn serve(upstream: Arc<ToldUpstream>, mut socket: TcpStream) {
    while let Some(text) = read_request(&mut socket).await {
        let header = |wanted: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
        };
        let seen = Seen { idempotency_key: header("idempotency-key"), text: text.clone() };
        let _held = upstream.take(seen);
        let (status, headers, body) = match upstream.told() {
            Told::Succeed => (200, String::new(), r#"{"fine":true}"#.to_owned()),
            Told::Echo => (200, format!("X-Echo: {}\r\n", text.replace(['\r', '\n'], " ")), text),
            Told::Refuse => (422, String::new(), text),
            Told::Fail => (500, String::new(), text),
            Told::AskToWait(wait) => (429, format!("Retry-After: {}\r\n", wait.as_secs()), String::new()),
            Told::Status(status) => (status, String::new(), r#"{"why":"told"}"#.to_owned()),
            Told::BreakOff | Told::BeAway => return,
            Told::Hang => {
                let mut rest = [0; 1024];
                while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
                return;
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Told\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
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

#[path = "conformance/stripe.rs"]
mod stripe;

mod with_a_bearer_token {
    use super::Http;

    orchestrator_conformance::connector_conformance!(Http::with(&["bearer"]).await);
}

mod with_a_user_and_a_header {
    use super::Http;

    orchestrator_conformance::connector_conformance!(Http::with(&["username", "password", "header"]).await);
}

mod without_secrets {
    use super::Http;

    orchestrator_conformance::connector_conformance!(Http::with(&[]).await);
}
