//! The `smtp` kind behaves as the ports say, with a server that does as it is told.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::connector::{ConnectorHarness, Sample, Seen, Told, ToldUpstream};
use orchestrator_core::connector::ConnectorKind;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

struct Mail {
    upstream: Arc<ToldUpstream>,
    filled: Vec<&'static str>,
}

impl Mail {
    async fn with(filled: &[&'static str]) -> Self {
        let upstream =
            ToldUpstream::start(|upstream, socket| async move { drop(serve(&upstream, socket).await) }).await;
        Self { upstream, filled: filled.to_vec() }
    }
}

/// One connection, until it ends.
async fn serve(upstream: &ToldUpstream, socket: TcpStream) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(b"220 told ESMTP\r\n").await?;
    let (mut login, mut dialogue) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => socket.write_all(b"250-told\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n").await?,
            "AUTH" => {
                login = line;
                socket.write_all(b"235 welcome\r\n").await?;
            }
            "DATA" => {
                socket.write_all(b"354 go on\r\n").await?;
                let mut message = Vec::new();
                while !message.ends_with(b"\r\n.\r\n") {
                    if socket.read_until(b'\n', &mut message).await? == 0 {
                        return Ok(());
                    }
                }
                let message = String::from_utf8_lossy(&message).into_owned();
                let text = format!("{login}{dialogue}{message}");
                if !answer(upstream, &mut socket, text).await? {
                    return Ok(());
                }
                dialogue.clear();
            }
            _ => {
                dialogue.push_str(&line);
                socket.write_all(b"250 fine\r\n").await?;
            }
        }
    }
}

/// Answers to a message as it is told; false if the connection ends.
async fn answer(upstream: &ToldUpstream, socket: &mut BufReader<TcpStream>, text: String) -> std::io::Result<bool> {
    let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).map(str::to_owned);
    let _held = upstream.take(Seen { text: text.clone(), idempotency_key: id });
    let (code, echo) = match upstream.told() {
        Told::Succeed => (250, "queued".to_owned()),
        Told::Echo => (250, text),
        Told::Refuse => (554, text),
        Told::Fail => (451, text),
        Told::Hang => {
            let mut rest = [0; 1024];
            while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
            return Ok(false);
        }
        _ => return Ok(false),
    };
    let mut said = String::new();
    for line in echo.lines() {
        said.push_str(&format!("{code}-{line}\r\n"));
    }
    said.push_str(&format!("{code} end\r\n"));
    socket.write_all(said.as_bytes()).await?;
    Ok(true)
}

#[async_trait]
impl ConnectorHarness for Mail {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        Arc::new(super::kind())
    }

    fn settings(&self) -> Value {
        let address = self.upstream.address();
        json!({
            "host": address.ip().to_string(), "port": address.port(), "tls": "none", "from": "shop@shop.test",
            "dedupes_by_message_id": true,
        })
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        vec![
            (json!({}), ""),
            (json!({"host": "not a host"}), "/host"),
            (json!({"host": "mail.example", "from": "nobody"}), "/from"),
            (json!({"host": "mail.example", "port": 0}), "/port"),
            (json!({"host": "mail.example", "ca_certificates": "x"}), "/ca_certificates"),
        ]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        self.filled.clone()
    }

    fn samples(&self) -> Vec<Sample> {
        let good = json!({"to": ["anna@home.test"], "subject": "Hello", "text": "Hello.", "html": "<p>Hello.</p>"});
        let mut refused = Vec::new();
        for (field, value, pointer) in [
            ("to", json!(["anna"]), "/to/0"),
            ("to", json!([]), "/to"),
            ("subject", json!("a\r\nBcc: b@c.test"), "/subject"),
            ("headers", json!({"From": "x@y.test"}), "/headers/From"),
            ("text", json!(1), "/text"),
            ("colour", json!("blue"), "/colour"),
        ] {
            let mut input = good.clone();
            input[field] = value;
            refused.push((input, pointer));
        }
        vec![Sample { operation: "send", input: good, refused }]
    }

    async fn tell(&self, told: Told) -> bool {
        self.upstream.tell(told);
        !matches!(told, Told::AskToWait(_) | Told::Status(_))
    }

    fn no_means_not_done(&self) -> bool {
        true
    }

    fn seen(&self) -> Vec<Seen> {
        self.upstream.seen()
    }

    async fn until_held(&self, calls: usize) {
        self.upstream.until_held(calls).await;
    }
}

mod logged_in {
    use super::Mail;

    orchestrator_conformance::connector_conformance!(Mail::with(&["username", "password"]).await);
}

mod without_secrets {
    use super::Mail;

    orchestrator_conformance::connector_conformance!(Mail::with(&[]).await);
}
