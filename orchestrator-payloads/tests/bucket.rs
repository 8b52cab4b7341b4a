//! The bucket: the suite on a server that speaks as S3 does, and what only a bucket can do wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method};
use orchestrator_conformance::payload::PayloadHarness;
use orchestrator_connectors::egress::EgressLimits;
use orchestrator_connectors::{EgressClient, EgressPolicy};
use orchestrator_core::payload::{ObjectError, PayloadScope, PayloadStore};
use orchestrator_core::secrets::Secret;
use orchestrator_payloads::s3::{S3Payloads, S3Settings};
use orchestrator_types::PayloadId;
use tokio::sync::OnceCell;

const BUCKET: &str = "payloads";

/// Of all tests of this process; it ends with it.
static SERVER: OnceLock<Server> = OnceLock::new();
static READY: OnceCell<()> = OnceCell::const_new();

fn client(allow: &[&str]) -> EgressClient {
    let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
    EgressClient::new(EgressPolicy::new(allow)).unwrap()
}

/// Runs the server until standard input ends, which it does when the test's process is gone, however it went.
const RUN: &str = r"
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

struct Server {
    _child: Child,
    address: SocketAddr,
}

/// An environment of the repository's own with the server in it, made whole by whoever needs it first.
fn python() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    fs::create_dir_all(&tools).unwrap();
    let lock = File::create(tools.join("moto.lock")).unwrap();
    lock.lock().unwrap();
    let (folder, ready) = (tools.join("moto"), tools.join("moto/ready"));
    let interpreter = folder.join("bin/python");
    if !ready.exists() {
        let run = |command: &mut Command| {
            let done = command.stdin(Stdio::null()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "moto[server]==5.2.1"];
        run(Command::new(&interpreter).args(install));
        fs::write(ready, "").unwrap();
    }
    interpreter
}

fn start() -> Server {
    let interpreter = python();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(interpreter);
    command.args(["-c", RUN, &address.port().to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < until, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Server { _child: child, address }
}

/// The endpoint, with the bucket made.
async fn endpoint() -> String {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start)).await.unwrap();
    let endpoint = format!("http://{}", server.address);
    let make = async || {
        let url = format!("{endpoint}/{BUCKET}").parse().unwrap();
        let client = client(&["127.0.0.0/8"]);
        let made =
            client.send(Method::PUT, url, HeaderMap::new(), Bytes::new(), EgressLimits::default()).await.unwrap();
        assert!(made.status.is_success(), "{}", made.status);
    };
    READY.get_or_init(make).await;
    endpoint
}

async fn settings(prefix: &str) -> S3Settings {
    S3Settings {
        prefix: prefix.to_owned(),
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(endpoint().await),
        credentials: Some(("key".to_owned(), Secret::new("secret".to_owned()))),
        ..S3Settings::of_url("s3://payloads").unwrap()
    }
}

/// A prefix that nobody else has.
struct Bucket(String);

impl Bucket {
    fn new() -> Self {
        Self(format!("test/{}", PayloadId::new()))
    }

    async fn open(&self) -> S3Payloads {
        S3Payloads::new(&settings(&self.0).await, client(&["127.0.0.0/8"]).for_objects()).unwrap()
    }
}

#[async_trait]
impl PayloadHarness for Bucket {
    async fn store(&self) -> Arc<dyn PayloadStore> {
        Arc::new(self.open().await)
    }

    async fn reopen(&self, _store: Arc<dyn PayloadStore>) -> Option<Arc<dyn PayloadStore>> {
        Some(Arc::new(self.open().await))
    }
}

orchestrator_conformance::payload_conformance!(Bucket::new());
orchestrator_conformance::payload_conformance_under_faults!(Bucket::new());

fn scope() -> PayloadScope {
    PayloadScope { environment: "dev".parse().unwrap(), workspace: "shop-dev".parse().unwrap() }
}

fn body() -> orchestrator_core::payload::ByteStream {
    stream::iter([Ok(Bytes::from_static(b"body"))]).boxed()
}

#[tokio::test]
async fn inv_26_a_bucket_on_a_private_address_is_not_reached_unless_the_install_allows_it() {
    let settings = settings("guarded").await;
    let key = scope().key(PayloadId::new());
    let guarded = S3Payloads::new(&settings, client(&[]).for_objects()).unwrap();
    for outcome in [
        guarded.put(&key, body()).await.map(drop),
        guarded.get(&key, None).await.map(drop),
        guarded.list(&key.scope, None, 1).await.map(drop),
        guarded.delete(&key).await,
        guarded.ping().await,
    ] {
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{outcome:?}");
    }
    let allowed = S3Payloads::new(&settings, client(&["127.0.0.0/8"]).for_objects()).unwrap();
    allowed.put(&key, body()).await.unwrap();
    assert_eq!(allowed.list(&key.scope, None, 1).await.unwrap(), [key.id]);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    let settings = S3Settings { bucket: "no-such-bucket".to_owned(), ..settings("x").await };
    let store = S3Payloads::new(&settings, client(&["127.0.0.0/8"]).for_objects()).unwrap();
    assert!(store.ping().await.is_err());
    assert!(store.put(&scope().key(PayloadId::new()), body()).await.is_err());
}

#[tokio::test]
async fn inv_23_settings_show_no_secret() {
    let shown = format!("{:?}", settings("x").await);
    assert!(shown.contains("key") && shown.contains("redacted") && !shown.contains("\"secret\""), "{shown}");
}
