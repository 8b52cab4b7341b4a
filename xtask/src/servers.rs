//! PostgreSQL and Redis, which tests start for themselves: found on the machine, or installed by its packages.
//!
//! One rule: what is installed is programs. No service of the machine is started for tests, and none of its own is used.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools::run;

// Where tests look for them: one place says where that is.
#[path = "../../orchestrator-conformance/src/servers/binaries.rs"]
mod binaries;

/// A server, its packages, and what stands in its place.
struct Server {
    name: &'static str,
    found: fn() -> Option<PathBuf>,
    debian: &'static str,
    homebrew: &'static str,
    variable: &'static str,
}

const SERVERS: [Server; 2] = [
    Server {
        name: "PostgreSQL",
        found: binaries::postgres,
        debian: "postgresql",
        homebrew: "postgresql@17",
        variable: "ORCHESTRATOR_TEST_POSTGRES_URL",
    },
    Server {
        name: "Redis",
        found: redis,
        debian: "redis-server",
        homebrew: "redis",
        variable: "ORCHESTRATOR_TEST_REDIS_URL",
    },
];

/// Who keeps services from being started while packages are installed, on Debian.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure that both are on this machine.
///
/// # Errors
/// One of them is not and cannot be installed, and no URL is given for it. The message says what to run.
pub(crate) fn ensure() -> Result<()> {
    let missing: Vec<&Server> = SERVERS.iter().filter(|server| (server.found)().is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Err(error) = install(&missing) else { return Ok(()) };
    let given = |server: &&&Server| env::var_os(server.variable).is_some_and(|url| !url.is_empty());
    let (given, lacking): (Vec<&Server>, Vec<&Server>) = missing.iter().partition(given);
    for server in given {
        let Server { name, variable, .. } = server;
        eprintln!("warning: {name} is not on this machine: tests that stop it will fail, the others use {variable}");
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = lacking.iter().map(|server| server.name).collect();
    let variables: Vec<&str> = lacking.iter().map(|server| server.variable).collect();
    let (names, variables) = (names.join(" and "), variables.join(" and "));
    Err(error).with_context(|| format!("{names} not found: install it, or set {variables}"))
}

fn redis() -> Option<PathBuf> {
    binaries::program("redis-server").and(binaries::program("redis-cli"))
}

fn install(missing: &[&Server]) -> Result<()> {
    if let Some(apt) = binaries::program("apt-get") {
        return debian(&apt, missing);
    }
    if let Some(brew) = binaries::program("brew") {
        let packages = missing.iter().map(|server| server.homebrew);
        run(Command::new(brew).arg("install").args(packages))?;
    } else {
        bail!("there is neither apt-get nor Homebrew on this machine");
    }
    installed(missing)
}

/// Whether what was installed is where tests look for it.
fn installed(missing: &[&Server]) -> Result<()> {
    match missing.iter().find(|server| (server.found)().is_none()) {
        Some(server) => bail!("{} was installed, and is not where it is looked for", server.name),
        None => Ok(()),
    }
}

fn debian(apt: &Path, missing: &[&Server]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().map(|server| server.debian).collect();
    if !is_root() {
        bail!("run `sudo apt-get install -y {}`", packages.join(" "));
    }
    let _quiet = NoServices::begin()?;
    let command = |words: &[&str]| {
        let mut command = Command::new(apt);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(words);
        command
    };
    let install = [&["install", "-y", "--no-install-recommends"][..], &packages].concat();
    // The lists of packages may be missing or old.
    run(&mut command(&install)).or_else(|_| {
        run(&mut command(&["update"]))?;
        run(&mut command(&install))
    })?;
    installed(missing)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// While it lives, packages start no service; whoever says so already is left alone.
struct NoServices(bool);

impl NoServices {
    fn begin() -> Result<Self> {
        use std::io::Write;
        let mut options = fs::File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o755);
        match options.open(POLICY) {
            Ok(mut file) => {
                let ours = Self(true);
                file.write_all(b"#!/bin/sh\nexit 101\n").context(POLICY)?;
                Ok(ours)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self(false)),
            Err(error) => Err(error).context(POLICY),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0 {
            // Left behind it would only keep services from being started by later packages.
            let _ = fs::remove_file(POLICY);
        }
    }
}
