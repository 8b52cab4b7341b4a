//! Servers that are published as Python packages, got once.
//!
//! A machine needs `python3` with `venv`, and nothing else: each set of packages lives in an environment of its own under
//! `.tools/servers`, made by whoever needs it first. A server's standard input is a pipe of the test's: when the test is
//! gone, however it went, its servers end by themselves.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server has to listen. Python starts slowly on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether it listens.
const ASKED_EVERY: Duration = Duration::from_millis(20);
/// A free port may be taken by somebody else before the server has it.
const PORTS: usize = 5;

/// Runs a module or a script of an environment, and ends when its standard input does. Whatever it listens on, it listens
/// on loopback.
const RUN: &str = r#"
import os, runpy, socket, sys, threading

def end():
    try:
        sys.stdin.buffer.read()
    finally:
        os._exit(0)

threading.Thread(target=end, daemon=True).start()

def inner(address):
    if isinstance(address, tuple) and address[0] in ("", "0.0.0.0", "::"):
        host = "::ffff:127.0.0.1" if address[0] == "::" else "127.0.0.1"
        return (host,) + tuple(address[1:])
    return address

plain = socket.socket.bind
socket.socket.bind = lambda self, address: plain(self, inner(address))
what, name = sys.argv[1:3]
sys.argv = sys.argv[2:]
if what == "module":
    runpy.run_module(name, run_name="__main__", alter_sys=True)
else:
    runpy.run_path(name, run_name="__main__")
"#;

/// What a server runs, out of its environment. In arguments, `{port}` is the port that it shall listen on, and
/// `{folder}` a folder of its own.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    /// A module, as `python -m` runs it.
    Module(&'a str),
    /// A script of Python that a package installs, as `moto_server`.
    Script(&'a str),
    /// A program of Python, as text.
    Text(&'a str),
    /// A program that a package brings and that is not Python's: it is ended with the test only if it ends in order.
    Binary(&'a str),
}

/// A server that runs; it is ended when this is dropped, or when the test's process is gone.
#[derive(Debug)]
pub struct PythonServer {
    child: Child,
    _ends_with_us: Option<ChildStdin>,
    folder: PathBuf,
    address: SocketAddr,
}

impl PythonServer {
    /// Starts a program out of these packages (`localstripe==1.15.10`), which are got if they are not there yet, and
    /// waits until it listens. Blocks.
    ///
    /// # Panics
    /// The packages cannot be got, or the program does not listen within a minute: the message has the end of its output.
    #[must_use]
    pub fn start(packages: &[&str], program: Program<'_>, arguments: &[&str]) -> Self {
        let environment = environment(packages);
        let mut said = String::new();
        for _ in 0..PORTS {
            match Self::try_start(&environment, program, arguments) {
                Ok(server) => return server,
                Err(why) => said = why,
            }
        }
        panic!("{program:?} of {packages:?} does not listen: {said}");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its folder; gone when the server is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }

    fn try_start(environment: &Path, program: Program<'_>, arguments: &[&str]) -> Result<Self, String> {
        let address = free().map_err(|error| error.to_string())?;
        let folder = folder(address.port()).map_err(|error| error.to_string())?;
        let filled = |text: &str| {
            text.replace("{port}", &address.port().to_string()).replace("{folder}", &folder.display().to_string())
        };
        let bin = environment.join("bin");
        let mut command = match program {
            Program::Binary(name) => Command::new(bin.join(name)),
            _ => Command::new(bin.join("python")),
        };
        match program {
            Program::Module(name) => command.args(["-c", RUN, "module", name]),
            Program::Script(name) => command.args(["-c", RUN, "script"]).arg(bin.join(name)),
            Program::Text(text) => {
                let path = folder.join("program.py");
                fs::write(&path, text).map_err(|error| error.to_string())?;
                command.args(["-c", RUN, "script"]).arg(path)
            }
            Program::Binary(_) => &mut command,
        };
        let output = File::create(folder.join("output")).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        command.args(arguments.iter().map(|argument| filled(argument))).current_dir(&folder);
        // Unbuffered, so that what it says before it dies is seen; no proxy of the environment between it and us.
        command.env("PYTHONUNBUFFERED", "1").env_remove("HTTP_PROXY").env_remove("http_proxy");
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let stdin = child.stdin.take();
        let mut server = Self { child, _ends_with_us: stdin, folder, address };
        server.until_it_listens()?;
        Ok(server)
    }

    fn until_it_listens(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended ({status}): {}", self.end_of_output()));
            }
            if TcpStream::connect_timeout(&self.address, ASKED_EVERY).is_ok() {
                return Ok(());
            }
            thread::sleep(ASKED_EVERY);
        }
        Err(format!("it did not within {PATIENCE:?}: {}", self.end_of_output()))
    }

    fn end_of_output(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        // It may have ended by itself; its folder is of no use any more either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A new folder below the machine's one for temporary files: no other process has the port.
fn folder(port: u16) -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("orchestrator-server-{}-{port}", std::process::id()));
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// The environment of these packages, made if it is not there: by one process at a time, and whole or not at all.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn environment(packages: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let servers = root.join(".tools").join("servers");
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || ".-".contains(letter) { letter } else { '-' };
    let name: String = packages.join("+").chars().map(plain).collect();
    let name = if name.is_empty() { "python".to_owned() } else { name };
    let environment = servers.join(&name);
    let ready = environment.join("ready");
    if ready.exists() {
        return environment;
    }
    fs::create_dir_all(&servers).expect("a folder for servers can be made");
    let lock = File::create(servers.join(format!("{name}.lock"))).expect("a lock can be made");
    lock.lock().expect("the lock can be taken");
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        if !packages.is_empty() {
            run(Command::new(environment.join("bin").join("python")).args(quiet).args(packages));
        }
        File::create(&ready).and_then(|mut file| file.write_all(b"ready\n")).expect("the environment is marked");
    }
    environment
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}): {said}", output.status);
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    const PROGRAM: &str = r"
import http.server, sys
http.server.ThreadingHTTPServer(('', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
";

    fn answers(address: SocketAddr) -> bool {
        let Ok(mut socket) = TcpStream::connect(address) else { return false };
        let asked = socket.write_all(b"GET /output HTTP/1.0\r\n\r\n");
        let mut text = String::new();
        asked.is_ok() && socket.read_to_string(&mut text).is_ok() && text.contains(" 200 ")
    }

    #[test]
    fn a_server_listens_on_loopback_alone_and_ends_with_its_handle() {
        let server = PythonServer::start(&[], Program::Text(PROGRAM), &["{port}"]);
        let (address, folder) = (server.address(), server.folder().to_owned());
        assert!(answers(address) && address.ip().is_loopback());
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let everywhere = format!("00000000:{:04X}", address.port());
        assert!(!table.lines().any(|line| line.contains(&everywhere)), "it listens on every address");
        drop(server);
        assert!(!answers(address) && !folder.exists());
    }

    #[test]
    fn what_ends_at_once_is_told_with_its_output() {
        let program = Program::Text("raise SystemExit('no, thank you')");
        let told = std::panic::catch_unwind(|| PythonServer::start(&[], program, &[])).expect_err("it never listens");
        let text = told.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(text.contains("no, thank you"), "{text}");
    }
}
