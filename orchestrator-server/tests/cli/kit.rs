//! An install in a folder of its own, its server, and what its commands answer. Nothing sleeps: whoever waits, waits for
//! a line of the log, an answer or the end of a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use orchestrator_conformance::servers::postgres;
use serde_json::Value;

/// Longer than anything takes, so that what hangs is seen as a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An install: a folder, and whatever it is set to.
pub(crate) struct Install {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.out.trim_end().to_owned()
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.well();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// The one line of a command that failed.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        let line = self.err.trim_end();
        assert_eq!(line.lines().count(), 1, "{line}");
        line.to_owned()
    }
}

impl Install {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// One with these settings: `STORE__URL`.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let variable = |(name, value): &(&str, &str)| (format!("ORCHESTRATOR__{name}"), (*value).to_owned());
        Self { folder: tempfile::tempdir().unwrap(), variables: settings.iter().map(variable).collect() }
    }

    /// One whose store is this database.
    pub(crate) fn on(url: &str) -> Self {
        Self::with(&[("STORE__URL", url), ("STORE__MAX_CONNECTIONS", "4")])
    }

    /// One on each backend.
    pub(crate) fn of_each_backend() -> [Self; 2] {
        [Self::new(), Self::on(&postgres::fresh_database())]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A command in the folder, without the variables of whoever runs the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
            .env("ORCHESTRATOR__LISTEN__API", "127.0.0.1:0")
            .env("ORCHESTRATOR__LISTEN__OPS", "127.0.0.1:0")
            .env("ORCHESTRATOR__EGRESS__ALLOW", "127.0.0.1/32")
            .envs(self.variables.iter().cloned());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }

    pub(crate) fn serve(&self) -> Server<'_> {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Server<'_> {
        let mut command = self.command(&["serve"]);
        command.args(arguments);
        self.serve_by(command)
    }

    /// A server that cannot let a file grow past so many KiB: to it the disk is full then.
    pub(crate) fn serve_on_a_small_disk(&self, kib: u64) -> Server<'_> {
        let serve = self.command(&["serve"]);
        let mut command = Command::new("/bin/sh");
        // Blocks of 512 bytes; ignored, the signal becomes an error of the write.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" serve", kib * 2);
        command.args(["-c".as_ref(), script.as_ref(), serve.get_program()]);
        command.current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.serve_by(command)
    }

    pub(crate) fn serve_by(&self, mut command: Command) -> Server<'_> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::<Mutex<String>>::default();
        let kept = said.clone();
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                kept.lock().unwrap().push_str(&(line.clone() + "\n"));
                drop(sender.send(line));
            });
        });
        let mut server =
            Server { install: self, child, log, said, url: String::new(), ops: String::new(), token: String::new() };
        let ready = server.logged("ready");
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        (server.url, server.ops) = (address("api"), address("ops"));
        server.token =
            self.mint(&["--aud", "orchestrator-control", "--sub", "tester", "--scope", "orchestrator.admin"]);
        server
    }

    pub(crate) fn mint(&self, arguments: &[&str]) -> String {
        let mut all = vec!["token", "mint"];
        all.extend(arguments);
        self.run(&all).well()
    }
}

pub(crate) fn finish(mut command: Command) -> Done {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { status: output.status, out: text(output.stdout), err: text(output.stderr) }
}

/// A server that runs; it is killed when the test ends.
pub(crate) struct Server<'a> {
    pub(crate) install: &'a Install,
    child: Child,
    log: Receiver<String>,
    said: Arc<Mutex<String>>,
    pub(crate) url: String,
    pub(crate) ops: String,
    pub(crate) token: String,
}

impl Server<'_> {
    /// Waits for a line of the log with this message.
    #[track_caller]
    pub(crate) fn logged(&self, message: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else { panic!("`{message}` is not in the log: {seen:#?}") };
            match serde_json::from_str::<Value>(&line) {
                Ok(line) if line["message"] == message => return line,
                _ => seen.push(line),
            }
        }
    }

    /// The whole log so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// A command that speaks to the server as its administrator.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.install.command(arguments);
        command.env("ORCHESTRATOR_URL", &self.url).env("ORCHESTRATOR_TOKEN", &self.token);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }

    /// What the command answers in JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        self.run(&all).json()
    }

    /// A command that speaks for the product of a workspace.
    pub(crate) fn product(&self, workspace: &str, arguments: &[&str]) -> Command {
        let scope = "orchestrator.execute orchestrator.jobs.write orchestrator.jobs.read";
        let token = self.install.mint(&[
            "--aud",
            "orchestrator-exec",
            "--sub",
            "svc:tester",
            "--workspace",
            workspace,
            "--scope",
            scope,
        ]);
        let mut command = self.command(arguments);
        command.env("ORCHESTRATOR_TOKEN", token);
        command
    }

    /// A command whose standard input is `text`.
    pub(crate) fn fed(&self, arguments: &[&str], text: &str) -> Done {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    /// A workspace with the config of this text, which is YAML.
    #[track_caller]
    pub(crate) fn apply(&self, workspace: &str, config: &str) -> Value {
        let bundle = format!("format: 1\nworkspace: {workspace}\nconfig:\n{config}");
        let path = self.install.write(&format!("{workspace}.yaml"), &bundle);
        self.json(&["apply", "--yes", "-f", &path])
    }

    pub(crate) fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for the end of the process, and of its log.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        while self.log.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A request that an upstream got, to be answered.
pub(crate) struct Asked {
    stream: TcpStream,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn answer(mut self, status: u16, body: &str) {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        self.stream.write_all((head + body).as_bytes()).ok();
    }
}

/// An upstream or product that hands each request to the test.
pub(crate) struct Upstream {
    pub(crate) url: String,
    asked: Receiver<Asked>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || hear(stream, &sender));
            }
        });
        Self { url, asked }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("the upstream was not asked")
    }
}

fn hear(mut stream: TcpStream, sender: &Sender<Asked>) {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_ok() {
        sender.send(Asked { stream, head, body: String::from_utf8(body).unwrap() }).ok();
    }
}

/// What a GET of this address answers: the status and the body.
pub(crate) fn get(url: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A command that runs until it is stopped, and writes lines of JSON.
pub(crate) struct Watcher {
    child: Child,
    lines: Receiver<Value>,
}

impl Watcher {
    pub(crate) fn start(server: &Server<'_>, arguments: &[&str]) -> Self {
        let mut child = server.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                sender.send(serde_json::from_str(&line).unwrap()).ok();
            }
        });
        Self { child, lines }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("the command wrote nothing")
    }

    /// Tells it to stop, and answers how it ended.
    pub(crate) fn terminated(&mut self) -> Option<i32> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
