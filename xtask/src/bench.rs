//! The benchmarks of whole loads, with what they are measured beside.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::servers;
use crate::tools::{cargo, root, run};

/// What others do of the same kind, to be measured beside.
const PEER: &str = "graphile-worker@0.18.0";

/// Runs them on private servers; `arguments` go to `cargo bench`. Without arguments, those on Postgres and Redis, whose table
/// and plot are written to `target/bench`.
///
/// # Errors
/// A benchmark cannot run.
pub(crate) fn bench(arguments: &[OsString]) -> Result<()> {
    servers::ensure()?;
    let mut command = cargo(["bench", "--package", "orchestrator-benches", "--locked"]);
    match peer() {
        Ok(modules) => {
            command.env("BENCH_NODE_MODULES", modules);
        }
        Err(error) => println!("without {PEER} beside: {error:#}"),
    }
    if arguments.is_empty() {
        command.args(["--bench", "distributed", "--", "--out"]).arg(root().join("target").join("bench"));
    } else {
        command.args(arguments);
    }
    run(&mut command)
}

/// The folder of the peer's packages.
fn peer() -> Result<PathBuf> {
    let folder = root().join("target").join("bench-peer");
    let modules = folder.join("node_modules");
    if !modules.join("graphile-worker").is_dir() {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{\"private\": true}")?;
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", PEER];
        run(Command::new("npm").args(install).current_dir(&folder))?;
    }
    Ok(modules)
}
