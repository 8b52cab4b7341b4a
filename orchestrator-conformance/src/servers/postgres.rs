//! A private PostgreSQL, as durable as a real one.
//!
//! ```no_run
//! use orchestrator_conformance::servers::{PostgresServer, Stop, postgres};
//!
//! // Most tests: an empty database on the server that all tests of the binary share.
//! let url = postgres::fresh_database();
//!
//! // Those that stop it: a server of their own.
//! let server = PostgresServer::start();
//! let url = server.fresh_database();
//! server.stop(Stop::Immediate);
//! server.start_again();
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;

use super::process::{PORTS, Process, Stop};
use super::{Pem, binaries, free_port};

/// Names the server that tests use which stop nothing, in the place of a private one: a URL of a role that may create
/// databases and roles.
pub const GIVEN: &str = "ORCHESTRATOR_TEST_POSTGRES_URL";
/// The first role, a superuser, and its password.
const USER: &str = "postgres";
const PASSWORD: &str = "a-password-of-tests";

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Settings of its own, over the kit's: `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
    /// Serves TLS with these, to those who ask for it.
    pub tls: Option<Pem>,
}

impl PostgresOptions {
    /// The same, with this setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A server that runs; it is ended when this is dropped, or when the test's process is gone. `fsync` and
/// `synchronous_commit` are on. Every method blocks.
#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    bin: PathBuf,
    settings: Vec<(String, String)>,
}

impl PostgresServer {
    /// Starts one with the kit's settings.
    ///
    /// # Panics
    /// There is no PostgreSQL on this machine, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&PostgresOptions::default())
    }

    /// Starts one with these options.
    ///
    /// # Panics
    /// There is no PostgreSQL on this machine, or it does not start: the message has the end of its log.
    #[must_use]
    pub fn start_with(options: &PostgresOptions) -> Self {
        let Some(bin) = binaries::postgres() else {
            panic!("there is no PostgreSQL on this machine: run `cargo xtask test`, or set {GIVEN}");
        };
        let mut said = String::new();
        for _ in 0..PORTS {
            match Self::try_start(&bin, options) {
                Ok(server) => return server,
                Err(why) => said = why,
            }
        }
        panic!("PostgreSQL ({}) does not start: {said}", bin.display());
    }

    /// The server that all tests of this process share. It ends with the process.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn try_start(bin: &Path, options: &PostgresOptions) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let process = Process::new("postgres", free_port(), Some("postgres"), "QUIT").map_err(told)?;
        let password = process.private_file("password", PASSWORD).map_err(told)?;
        let mut initdb = process.command(&bin.join("initdb"));
        initdb.args(["--pgdata=data", "--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"]);
        initdb.args([&format!("--username={USER}"), &format!("--pwfile={}", password.display())]);
        Process::run(&mut initdb)?;
        let mut settings: Vec<(String, String)> = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &process.port.to_string()),
            ("unix_socket_directories", ""),
            ("shared_buffers", "64MB"),
            ("max_connections", "300"),
            // Nothing stays in the machine's shared memory if it is killed.
            ("dynamic_shared_memory_type", "mmap"),
            ("log_line_prefix", "%m [%p] "),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(pem) = &options.tls {
            for (setting, file, text) in [
                ("ssl_cert_file", "server.crt", &pem.certificate),
                ("ssl_key_file", "server.key", &pem.key),
                ("ssl_ca_file", "ca.crt", &pem.authority),
            ] {
                let path = process.private_file(file, text).map_err(told)?;
                settings.push((setting.to_owned(), path.display().to_string()));
            }
            settings.push(("ssl".to_owned(), "on".to_owned()));
        }
        settings.extend(options.settings.iter().cloned());
        let server = Self { process, bin: bin.to_owned(), settings };
        server.run()?;
        Ok(server)
    }

    fn run(&self) -> Result<(), String> {
        let mut command = self.process.command(&self.bin.join("postgres"));
        command.args(["-D", "data"]);
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // It accepts connections before it answers them.
        let mut ask = psql(&self.bin, &self.url());
        ask.args(["-c", "select 1"]);
        self.process.start(&mut command, || Process::run(&mut ask).is_ok())
    }

    /// The folder of its programs: `psql`, `pgbench`, …
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.bin
    }

    /// A superuser's URL of the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A superuser's URL of this database.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{database}", self.process.address())
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.process.port
    }

    /// Its folder, in which `data` is the cluster; gone when the server is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.process.folder
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log_text()
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn fresh_database(&self) -> String {
        let name = fresh_name();
        self.sql(&self.url(), &format!("create database {name}"));
        self.url_of(&name)
    }

    /// The URL of a new database with everything that is in this one, to which nobody may be connected.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn copy_of(&self, database: &str) -> String {
        let name = fresh_name();
        self.sql(&self.url(), &format!("create database {name} template {database}"));
        self.url_of(&name)
    }

    /// Runs statements in the database of this URL, and gives what they select: a row a line, `|` between columns.
    ///
    /// # Panics
    /// The server refuses them.
    #[must_use = "a statement that selects nothing gives an empty text: bind it to `_`"]
    pub fn select(&self, url: &str, statements: &str) -> String {
        let mut command = psql(&self.bin, url);
        command.args(["-c", statements]);
        Process::run(&mut command).unwrap_or_else(|why| panic!("{statements}: {why}"))
    }

    /// Runs statements in the database of this URL.
    ///
    /// # Panics
    /// The server refuses them.
    pub fn sql(&self, url: &str, statements: &str) {
        let _ = self.select(url, statements);
    }

    /// Stops it, and waits until it has ended.
    pub fn stop(&self, how: Stop) {
        self.process.end(match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        });
    }

    /// Kills (-9) it and all its children at once.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again after a stop or a kill, on the same port and data, and waits until it answers.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        assert!(!self.process.runs(), "it runs");
        // Children of one that was killed may hold its memory for a moment longer.
        let mut said = String::new();
        for _ in 0..PORTS {
            match self.run() {
                Ok(()) => return,
                Err(why) => said = why,
            }
        }
        panic!("PostgreSQL does not start again: {said}");
    }

    /// Stops all its processes where they are (SIGSTOP): connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// It does not run.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets them go on.
    ///
    /// # Panics
    /// It does not run.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Ends every connection of clients, as an administrator does.
    pub fn terminate_connections(&self) {
        self.sql(
            &self.url(),
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where backend_type = 'client backend' and pid <> pg_backend_pid()",
        );
    }

    /// Starts it again as a replica that follows nobody: whatever it has can be read, and nothing written.
    ///
    /// # Panics
    /// It does not start.
    pub fn become_replica(&self) {
        self.stop(Stop::Fast);
        fs::write(self.folder().join("data").join("standby.signal"), "").expect("the data folder is there");
        self.start_again();
    }
}

/// The URL of a new, empty database: on the server that [`GIVEN`] names, where it is removed when this process ends, else
/// on [`PostgresServer::shared`].
///
/// # Panics
/// There is no server, or it makes no database.
#[must_use]
pub fn fresh_database() -> String {
    match std::env::var(GIVEN) {
        Ok(url) if !url.is_empty() => given::fresh_database(&url),
        _ => PostgresServer::shared().fresh_database(),
    }
}

/// `psql`, which reads no settings of the user.
fn psql(bin: &Path, url: &str) -> Command {
    let mut command = Command::new(bin.join("psql"));
    command.env("PGCONNECT_TIMEOUT", "5").stdin(std::process::Stdio::null());
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
    command
}

fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("orchestrator_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Databases on a server that was given.
mod given {
    use std::io::Write;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use super::super::process::Process;
    use super::{binaries, fresh_name, psql};

    /// Removes the databases whose names it was told, when it is told no more.
    const REMOVE: &str = r#"
trap '' INT TERM HUP
names=
while read -r name; do names="$names $name"; done
for name in $names; do "$1" -X -q -d "$2" -c "drop database if exists $name with (force)"; done
"#;

    pub(super) fn fresh_database(url: &str) -> String {
        static REMOVER: OnceLock<Mutex<Child>> = OnceLock::new();
        let bin = binaries::postgres().map(|bin| bin.join("psql")).or_else(|| binaries::program("psql"));
        let bin = bin.expect("`psql` is not on this machine: run `cargo xtask test`");
        let name = fresh_name();
        let mut create = psql(bin.parent().expect("a program lies in a folder"), url);
        create.args(["-c", &format!("create database {name}")]);
        Process::run(&mut create).unwrap_or_else(|why| panic!("no database can be made: {why}"));
        let remover = REMOVER.get_or_init(|| {
            let mut command = Command::new("sh");
            command.args(["-c", REMOVE, "sh"]).arg(&bin).arg(url).process_group(0);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            Mutex::new(command.spawn().expect("there is a shell"))
        });
        let mut remover = remover.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = remover.stdin.as_mut().expect("its input is a pipe");
        writeln!(lines, "{name}").expect("the remover runs");
        with_database(url, &name)
    }

    /// The same URL with another database.
    pub(super) fn with_database(url: &str, name: &str) -> String {
        let (front, options) = url.split_once('?').map_or((url, None), |(front, options)| (front, Some(options)));
        let after = front.find("://").map_or(0, |at| at + 3);
        let host = front[after..].find('/').map_or(front, |at| &front[..after + at]);
        options.map_or_else(|| format!("{host}/{name}"), |options| format!("{host}/{name}?{options}"))
    }

    #[cfg(test)]
    mod tests {
        use super::with_database;

        #[test]
        fn another_database_keeps_the_rest_of_the_url() {
            for (url, wanted) in [
                ("postgres://a:b@h:1/old?sslmode=require", "postgres://a:b@h:1/new?sslmode=require"),
                ("postgres://h", "postgres://h/new"),
                ("postgres://h/", "postgres://h/new"),
            ] {
                assert_eq!(with_database(url, "new"), wanted);
            }
        }
    }
}
