//! One node: the binary as a process, which is killed, stopped in order, paused and started again on the same ports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use orchestrator_client::{Client, Retry};
use orchestrator_conformance::servers::free_port;

/// A debug build starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// A node of an install.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    roles: &'static str,
    api: u16,
    ops: u16,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    child: Mutex<Option<Child>>,
}

impl Node {
    pub(crate) fn new(name: &'static str, roles: &'static str, folder: &Path, variables: &[(String, String)]) -> Self {
        let (api, ops) = (free_port(), free_port());
        let (folder, variables) = (folder.to_owned(), variables.to_vec());
        Self { name, roles, api, ops, folder, variables, child: Mutex::new(None) }
    }

    /// Starts it, and waits until it takes work.
    pub(crate) async fn start(&self) {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.command();
        command.args(["serve", "--roles", self.roles]).stdout(Stdio::null()).stderr(log);
        *self.child.lock().unwrap() = Some(command.spawn().unwrap());
        self.until(true).await;
    }

    /// The binary with this node's settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ORCHESTRATOR__LISTEN__API", format!("127.0.0.1:{}", self.api))
            .env("ORCHESTRATOR__LISTEN__OPS", format!("127.0.0.1:{}", self.ops))
            .env("RUST_LOG", "warn")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Waits until it says that it is ready, or that it is not.
    pub(crate) async fn until(&self, ready: bool) {
        let (ops, until) = (self.ops_client(), tokio::time::Instant::now() + PATIENCE);
        while ops.ready().await.ok() != Some(ready) {
            let ended = self.child.lock().unwrap().as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "{} ended ({ended:?}): {}", self.name, self.log());
            assert!(tokio::time::Instant::now() < until, "{} is never ready={ready}: {}", self.name, self.log());
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    pub(crate) fn ops_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ops)
    }

    fn ops_client(&self) -> Client {
        let client = Client::builder(&self.url()).ops_url(&self.ops_url()).retry(Retry::never());
        client.timeout(Duration::from_secs(3)).build().unwrap()
    }

    /// A metric of it; 0 if it has none of this name.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = plain::get(&self.ops_url(), "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Kills it (-9).
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn terminate(&self) {
        self.signal("-TERM");
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.child.lock().unwrap().as_mut().and_then(|child| child.try_wait().unwrap());
            if let Some(status) = status {
                assert!(status.success(), "{} ended badly ({status}): {}", self.name, self.log());
                self.child.lock().unwrap().take();
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{} does not end: {}", self.name, self.log());
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    /// Stops it where it is.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.id().expect("it runs");
        assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
    }

    /// Its process's id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.lock().unwrap().as_ref().map(Child::id)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One plain request, for what the client has no method for.
mod plain {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    pub(super) async fn get(url: &str, path: &str) -> String {
        let address = url.trim_start_matches("http://");
        let asked = async {
            let mut socket = TcpStream::connect(address).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await?;
            let mut text = String::new();
            socket.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        timeout(Duration::from_secs(10), asked).await.expect("it answers").expect("it answers")
    }
}
