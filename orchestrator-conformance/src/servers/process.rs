//! One server's process: started, stopped, killed, paused and started again.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::keeper::Keeper;

/// How long a server has to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_millis(10);
/// A free port may be taken by somebody else before the server has it.
pub(super) const PORTS: usize = 5;

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// In order, without waiting for those who are connected.
    Fast,
    /// At once, so that it has to recover when it starts again: PostgreSQL's `immediate`. Redis knows no such thing, and is killed.
    Immediate,
}

/// A server's folder, port and process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    owner: Option<(u32, u32)>,
    child: Mutex<Option<Child>>,
    keeper: Keeper,
}

impl Process {
    /// A folder for a server of this name on that port. `signal` is what ends it if nobody else does.
    ///
    /// As root the folder, and the server later, belong to `user` if there is one, else to nobody.
    pub(super) fn new(name: &str, port: u16, user: Option<&str>, signal: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("orchestrator-{name}-{}-{port}", std::process::id()));
        fs::create_dir(&folder)?;
        let keeper = Keeper::start(&folder, signal)?;
        let is_root = fs::metadata(&folder)?.uid() == 0;
        let owner = user.filter(|_| is_root).map(|user| account(user).unwrap_or(NOBODY));
        if let Some((uid, gid)) = owner {
            chown(&folder, Some(uid), Some(gid))?;
        }
        Ok(Self { folder, port, owner, child: Mutex::new(None), keeper })
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A command that runs as the server does, in its folder.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null()).env_remove("PGDATA").env("LC_ALL", "C");
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs such a command to its end.
    pub(super) fn run(command: &mut Command) -> Result<String, String> {
        let output = command.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A file in its folder that only the server can read.
    pub(super) fn private_file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.join(name);
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        if let Some((uid, gid)) = self.owner {
            chown(&path, Some(uid), Some(gid))?;
        }
        Ok(path)
    }

    /// Starts the server with this command, and waits until `answers`.
    pub(super) fn start(&self, command: &mut Command, mut answers: impl FnMut() -> bool) -> Result<(), String> {
        let mut held = self.held();
        let told = |error: io::Error| error.to_string();
        let log = File::options().append(true).create(true).open(self.log()).map_err(told)?;
        let errors = log.try_clone().map_err(told)?;
        let mut child = command.process_group(0).stdout(log).stderr(errors).spawn().map_err(told)?;
        self.keeper.keep(&[child.id()]).map_err(told)?;
        let until = Instant::now() + PATIENCE;
        let why = loop {
            if let Ok(Some(status)) = child.try_wait() {
                break format!("it ended ({status})");
            }
            if answers() {
                *held = Some(child);
                return Ok(());
            }
            if Instant::now() > until {
                // It is waited for, so its id is still its own.
                let _ = child.kill();
                let _ = child.wait();
                break format!("it does not answer within {PATIENCE:?}");
            }
            thread::sleep(ASKED_EVERY);
        };
        self.keeper.keep(&[]).map_err(told)?;
        Err(format!("{why}: {}", self.end_of_log()))
    }

    /// Sends it a signal, and waits until it has ended.
    pub(super) fn end(&self, signal: Signal) {
        let mut held = self.held();
        let Some(child) = held.as_mut() else { return };
        send(child.id(), Signal::CONT);
        send(child.id(), signal);
        let until = Instant::now() + PATIENCE;
        while matches!(child.try_wait(), Ok(None)) {
            assert!(Instant::now() < until, "it does not end: {}", self.end_of_log());
            thread::sleep(ASKED_EVERY);
        }
        *held = None;
        self.keeper.keep(&[]).expect("the keeper runs");
    }

    /// Kills it with all its children: nothing of it runs afterwards.
    pub(super) fn kill(&self) {
        let children = self.held().as_ref().map(|child| children(child.id())).unwrap_or_default();
        for child in children {
            send(child, Signal::KILL);
        }
        self.end(Signal::KILL);
    }

    /// Stops all its processes where they are.
    pub(super) fn pause(&self) {
        let held = self.held();
        let child = held.as_ref().expect("it runs");
        send(child.id(), Signal::STOP);
        let children = children(child.id());
        for child in &children {
            send(*child, Signal::STOP);
        }
        self.keeper.keep(&[&[child.id()], children.as_slice()].concat()).expect("the keeper runs");
    }

    /// Lets them go on.
    pub(super) fn resume(&self) {
        let held = self.held();
        let child = held.as_ref().expect("it runs");
        for child in children(child.id()) {
            send(child, Signal::CONT);
        }
        send(child.id(), Signal::CONT);
        self.keeper.keep(&[child.id()]).expect("the keeper runs");
    }

    pub(super) fn runs(&self) -> bool {
        self.held().is_some()
    }

    /// What it has written so far.
    pub(super) fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn end_of_log(&self) -> String {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The keeper ends the process and removes the folder when this is gone; the child is waited for meanwhile, because
        // one that has ended and is not waited for would seem to run.
        if let Some(mut child) = self.held().take() {
            thread::spawn(move || child.wait());
        }
    }
}

/// Who owns nothing on a machine.
const NOBODY: (u32, u32) = (65_534, 65_534);

/// The ids of an account of this machine.
fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = accounts
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let (uid, gid) = (fields.nth(1)?, fields.next()?);
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended just now.
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// The processes whose parent this one is.
fn children(parent: u32) -> Vec<u32> {
    let known = pairs_of_proc().unwrap_or_else(pairs_of_ps);
    known.into_iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid).collect()
}

/// Every process and its parent, where there is `/proc`.
fn pairs_of_proc() -> Option<Vec<(u32, u32)>> {
    Path::new("/proc/self/stat").exists().then_some(())?;
    let entries = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let pair = |entry: fs::DirEntry| -> Option<(u32, u32)> {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name of the program stands in parentheses, and may have anything in it.
        let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    Some(entries.filter_map(pair).collect())
}

fn pairs_of_ps() -> Vec<(u32, u32)> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let pair = |line: &str| {
        let (pid, parent) = line.trim().split_once(' ')?;
        Some((pid.parse().ok()?, parent.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}
