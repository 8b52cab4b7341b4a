//! Servers that are not ours, in Python: each test starts its own, on loopback, and ends it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{File, create_dir_all, write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(60);

/// The interpreter of an environment of the repository's own that has these packages, each as `name==version`. Made at
/// the first call, which takes as long as getting them does.
fn python(packages: &[&str]) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    create_dir_all(&tools).unwrap();
    let lock = File::create(tools.join("python.lock")).unwrap();
    lock.lock().unwrap();
    let folder = tools.join("python");
    let interpreter = folder.join("bin/python");
    let run = |program: &Path, arguments: &[&str]| {
        let done = std::process::Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    if !interpreter.exists() {
        run(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()]);
    }
    for package in packages {
        let there = folder.join(format!("has-{package}").replace(['[', ']', ','], "-"));
        if !there.exists() {
            run(&interpreter, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]);
            write(there, "").unwrap();
        }
    }
    interpreter
}

/// A server that tells what happens to it on its standard output, in lines of JSON, and ends with its standard input:
/// when this is dropped, and also when the tests are killed.
pub(crate) struct Server {
    _child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Starts a script of the folder `tests` of this crate, and waits for its first line.
    pub(crate) async fn start(packages: &[&str], script: &str, arguments: &[&str]) -> (Self, Value) {
        let packages: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
        let interpreter =
            tokio::task::spawn_blocking(move || python(&packages.iter().map(String::as_str).collect::<Vec<_>>()));
        let interpreter = interpreter.await.unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
        let mut command = Command::new(interpreter);
        command.arg("-u").arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, lines) = mpsc::unbounded_channel();
        // Read at once: a server whose pipe is full would wait for the test, which waits for the server.
        tokio::spawn(async move {
            while let Ok(Some(line)) = told.next_line().await {
                tell.send(line).ok();
            }
        });
        let mut server = Self { _child: child, lines };
        let ready = server.next().await;
        (server, ready)
    }

    /// What it tells next.
    pub(crate) async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(SOON, self.lines.recv()).await.expect("the server tells something");
        serde_json::from_str(&line.expect("the server runs")).unwrap()
    }
}
