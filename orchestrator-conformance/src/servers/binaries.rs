//! Where the machine has the servers' programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Homebrew puts things, on both kinds of its machines.
const HOMEBREW: [&str; 2] = ["/opt/homebrew", "/usr/local"];

/// The folder that has these programs of PostgreSQL, the newest one: one whole installation, so that they fit each other.
pub(super) fn postgres() -> Option<PathBuf> {
    let whole = |folder: &PathBuf| ["postgres", "initdb", "psql"].iter().all(|name| folder.join(name).is_file());
    debian().into_iter().chain(told()).chain(homebrew()).chain(on_path()).find(whole)
}

/// A program on the path, or of Homebrew.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let homebrew = HOMEBREW.iter().map(|root| Path::new(root).join("bin"));
    on_path().into_iter().chain(homebrew).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// `/usr/lib/postgresql/<version>/bin`, the newest first.
fn debian() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = below(Path::new("/usr/lib/postgresql"))
        .into_iter()
        .filter_map(|folder| Some((folder.file_name()?.to_str()?.parse().ok()?, folder.join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

/// What `pg_config` says. Debian's may be of another version than the server.
fn told() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// `<prefix>/opt/postgresql@<version>/bin`, which Homebrew does not put on the path.
fn homebrew() -> Vec<PathBuf> {
    let opt = HOMEBREW.iter().flat_map(|root| below(&Path::new(root).join("opt")));
    let named =
        |folder: &PathBuf| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("postgresql"));
    let mut found: Vec<PathBuf> = opt.filter(named).map(|folder| folder.join("bin")).collect();
    found.sort();
    found.reverse();
    found
}

fn on_path() -> Vec<PathBuf> {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
