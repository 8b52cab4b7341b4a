//! The kind behaves as the ports say, and the binary serves it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_client::Client;
use orchestrator_conformance::connector::{ConnectorHarness, Sample, Seen, Told, ToldUpstream};
use orchestrator_core::connector::ConnectorKind;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

/// A daemon that does as it is told.
struct Clamd {
    upstream: Arc<ToldUpstream>,
}

impl Clamd {
    async fn start() -> Self {
        let upstream =
            ToldUpstream::start(|upstream, socket| async move { drop(serve(&upstream, socket).await) }).await;
        Self { upstream }
    }
}

async fn serve(upstream: &ToldUpstream, mut socket: TcpStream) -> std::io::Result<()> {
    let mut command = Vec::new();
    while !command.ends_with(b"\0") {
        command.push(socket.read_u8().await?);
    }
    if command == b"zPING\0" {
        return socket.write_all(b"PONG\0").await;
    }
    let mut file = vec![0; socket.read_u32().await? as usize];
    socket.read_exact(&mut file).await?;
    socket.read_u32().await?;
    let file = String::from_utf8_lossy(&file).into_owned();
    let _held = upstream.take(Seen { text: file.clone(), idempotency_key: None });
    let answer = match upstream.told() {
        Told::Succeed => "stream: OK".to_owned(),
        Told::Echo => format!("stream: {file} FOUND"),
        Told::Refuse => format!("INSTREAM size limit exceeded. {file} ERROR"),
        Told::Fail => format!("{file} ERROR"),
        Told::Hang => {
            let mut rest = [0; 64];
            while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
            return Ok(());
        }
        _ => return Ok(()),
    };
    socket.write_all(format!("{answer}\0").as_bytes()).await
}

#[async_trait]
impl ConnectorHarness for Clamd {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        let address = self.upstream.address();
        Arc::new(orchestrator_example_custom_connector::kind(address).unwrap())
    }

    fn settings(&self) -> Value {
        json!({"max_bytes": 100})
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        vec![(json!({"max_bytes": 0}), "/max_bytes"), (json!({"max_bytes": "many"}), "/max_bytes")]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn samples(&self) -> Vec<Sample> {
        let refused = vec![
            (json!({}), "/content_base64"),
            (json!({"content_base64": "***"}), "/content_base64"),
            (json!({"content_base64": "A".repeat(200)}), "/content_base64"),
            (json!({"content_base64": "eA==", "name": "x"}), "/name"),
        ];
        vec![Sample { operation: "scan", input: json!({"content_base64": "aGFybWxlc3M="}), refused }]
    }

    async fn tell(&self, told: Told) -> bool {
        self.upstream.tell(told);
        !matches!(told, Told::AskToWait(_) | Told::Status(_))
    }

    fn seen(&self) -> Vec<Seen> {
        self.upstream.seen()
    }

    async fn until_held(&self, calls: usize) {
        self.upstream.until_held(calls).await;
    }
}

orchestrator_conformance::connector_conformance!(Clamd::start().await);

#[test]
fn the_binary_is_less_than_40_lines() {
    assert!(include_str!("../src/main.rs").lines().count() < 40);
}

/// The binary, in a folder of its own.
fn command(folder: &Path, clamd: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator-with-clamd"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.env("CLAMD", clamd.to_string());
    command.env("ORCHESTRATOR__LISTEN__API", "127.0.0.1:0").env("ORCHESTRATOR__LISTEN__OPS", "127.0.0.1:0");
    command
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_the_kind_beside_those_that_are_there() {
    let (clamd, folder) = (Clamd::start().await, tempfile::tempdir().unwrap());
    let command = |arguments: &[&str]| command(folder.path(), clamd.upstream.address(), arguments);
    let mut server = command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let url = loop {
        let line = tokio::time::timeout(Duration::from_secs(60), log.next_line()).await.expect("it gets ready");
        let line: Value = serde_json::from_str(&line.unwrap().expect("it runs")).unwrap_or_default();
        if line["message"] == "ready" {
            break line["api"].as_str().unwrap().to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });

    let mint = |arguments: &str| {
        let arguments: Vec<&str> = ["token", "mint"].into_iter().chain(arguments.split(' ')).collect();
        let mut command = command(&arguments);
        async move { text(command.output().await.unwrap()) }
    };
    let operator = mint("--aud orchestrator-control --sub tester --scope orchestrator.admin").await;
    let run = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("ORCHESTRATOR_TOKEN", &operator).env("ORCHESTRATOR_URL", &url);
        async move { text(command.output().await.unwrap()) }
    };
    let kinds = run(&["--output", "json", "connector", "kinds"]).await;
    for kind in ["clamd", "http", "s3", "smtp"] {
        assert!(
            kinds.contains(&format!("\"kind\":\"{kind}\"")) || kinds.contains(&format!("\"kind\": \"{kind}\"")),
            "{kinds}"
        );
    }
    let bundle = json!({
        "format": 1, "workspace": "shop-dev",
        "config": {"policies": {"default": {}}, "connectors": {"virus-scan": {"kind": "clamd", "settings": {}}}},
    });
    std::fs::write(folder.path().join("shop.json"), bundle.to_string()).unwrap();
    run(&["apply", "--yes", "-f", "shop.json"]).await;
    let check = run(&["--output", "json", "connector", "check", "shop-dev", "virus-scan"]).await;
    assert!(check.contains("ok"), "{check}");

    let product =
        mint("--aud orchestrator-exec --sub svc:shop --workspace shop-dev --scope orchestrator.execute").await;
    let product = Client::new(&url, product).unwrap();
    let input = json!({"content_base64": "aGFybWxlc3M="});
    let request = json!({"connector": "virus-scan", "operation": "scan", "input": input});
    let scanned = product.execute(&serde_json::from_value(request).unwrap()).await.unwrap();
    assert_eq!(scanned.output, json!({"clean": true}));
    clamd.tell(Told::Echo).await;
    let request = json!({"connector": "virus-scan", "operation": "scan", "input": input});
    let scanned = product.execute(&serde_json::from_value(request).unwrap()).await.unwrap();
    assert_eq!(scanned.output, json!({"clean": false, "found": "harmless"}));
    server.kill().await.unwrap();
}
