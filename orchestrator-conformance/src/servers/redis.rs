//! A private Redis, which keeps nothing on disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;

use super::process::{PORTS, Process, Stop};
use super::{Pem, binaries, free_port};

/// Names the server that tests use which stop nothing, in the place of a private one. They share it: each keeps to keys of
/// its own.
pub const GIVEN: &str = "ORCHESTRATOR_TEST_REDIS_URL";

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Settings of its own, over the kit's: `("maxmemory", "4mb")`.
    pub settings: Vec<(String, String)>,
    /// Asks everybody for this password.
    pub password: Option<String>,
    /// Serves TLS, and nothing else, with these.
    pub tls: Option<Pem>,
}

impl RedisOptions {
    /// The same, with this setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A server that runs; it is ended when this is dropped, or when the test's process is gone. Every method blocks.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    server: PathBuf,
    cli: PathBuf,
    options: RedisOptions,
    files: Vec<(&'static str, PathBuf)>,
}

impl RedisServer {
    /// Starts one with the kit's settings.
    ///
    /// # Panics
    /// There is no Redis on this machine, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&RedisOptions::default())
    }

    /// Starts one with these options.
    ///
    /// # Panics
    /// There is no Redis on this machine, or it does not start: the message has the end of its log.
    #[must_use]
    pub fn start_with(options: &RedisOptions) -> Self {
        let (Some(server), Some(cli)) = (binaries::program("redis-server"), binaries::program("redis-cli")) else {
            panic!("there is no Redis on this machine: run `cargo xtask test`, or set {GIVEN}");
        };
        let mut said = String::new();
        for _ in 0..PORTS {
            match Self::try_start(&server, &cli, options) {
                Ok(server) => return server,
                Err(why) => said = why,
            }
        }
        panic!("Redis does not start: {said}");
    }

    /// The server that all tests of this process share. It ends with the process.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn try_start(server: &Path, cli: &Path, options: &RedisOptions) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let process = Process::new("redis", free_port(), None, "TERM").map_err(told)?;
        let mut files = Vec::new();
        if let Some(pem) = &options.tls {
            for (setting, file, text) in [
                ("tls-cert-file", "server.crt", &pem.certificate),
                ("tls-key-file", "server.key", &pem.key),
                ("tls-ca-cert-file", "ca.crt", &pem.authority),
            ] {
                files.push((setting, process.private_file(file, text).map_err(told)?));
            }
        }
        let started = Self { process, server: server.to_owned(), cli: cli.to_owned(), options: options.clone(), files };
        started.run()?;
        Ok(started)
    }

    fn run(&self) -> Result<(), String> {
        let mut command = self.process.command(&self.server);
        let port = self.process.port.to_string();
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]);
        command.arg(&self.process.folder);
        if self.files.is_empty() {
            command.args(["--port", &port]);
        } else {
            command.args(["--port", "0", "--tls-auth-clients", "no", "--tls-port", &port]);
        }
        for (setting, path) in &self.files {
            command.arg(format!("--{setting}")).arg(path);
        }
        if let Some(password) = &self.options.password {
            // On the command line everybody on the machine could read it; in tests nobody minds.
            command.args(["--requirepass", password]);
        }
        for (name, value) in &self.options.settings {
            command.arg(format!("--{name}")).arg(value);
        }
        let mut ask = self.cli();
        ask.arg("ping");
        self.process.start(&mut command, || Process::run(&mut ask).is_ok_and(|said| said.contains("PONG")))
    }

    /// Its URL: `redis://127.0.0.1:<port>`, with the password if it asks for one; `rediss://` where it serves TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.files.is_empty() { "redis" } else { "rediss" };
        let password = self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{password}{}", self.process.address())
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.process.port
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log_text()
    }

    /// Runs a command on it, as `redis-cli` does, and gives what it says.
    ///
    /// # Panics
    /// It cannot be reached, or refuses the command.
    #[must_use = "commands without a result say OK: bind it to `_`"]
    pub fn command(&self, words: &[&str]) -> String {
        let mut command = self.cli();
        command.args(words);
        Process::run(&mut command).unwrap_or_else(|why| panic!("{words:?}: {why}"))
    }

    /// Forgets everything.
    ///
    /// # Panics
    /// It cannot be reached.
    pub fn flush(&self) {
        let _ = self.command(&["flushall"]);
    }

    /// Stops it, and waits until it has ended. What it held is gone.
    pub fn stop(&self, how: Stop) {
        self.process.end(match how {
            Stop::Fast => Signal::TERM,
            Stop::Immediate => Signal::KILL,
        });
    }

    /// Kills (-9) it.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again after a stop or a kill, on the same port, and waits until it answers. It is empty.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        assert!(!self.process.runs(), "it runs");
        self.run().unwrap_or_else(|why| panic!("Redis does not start again: {why}"));
    }

    /// Stops it where it is (SIGSTOP): connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// It does not run.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// It does not run.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// `redis-cli` with this server, failing where the server says an error.
    pub(super) fn cli(&self) -> Command {
        let mut command = Command::new(&self.cli);
        command.stdin(std::process::Stdio::null()).args([
            "-e",
            "-h",
            "127.0.0.1",
            "-p",
            &self.process.port.to_string(),
        ]);
        if let Some((_, authority)) = self.files.iter().find(|(setting, _)| *setting == "tls-ca-cert-file") {
            command.arg("--tls").arg("--cacert").arg(authority);
        }
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        command
    }
}

/// The URL of the server that tests share: the one that [`GIVEN`] names, else [`RedisServer::shared`].
///
/// # Panics
/// There is no Redis on this machine, or it does not start.
#[must_use]
pub fn shared_url() -> String {
    match std::env::var(GIVEN) {
        Ok(url) if !url.is_empty() => url,
        _ => RedisServer::shared().url(),
    }
}
