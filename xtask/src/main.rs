//! The chores of the workspace: `cargo xtask <chore>`.
//!
//! Each chore is what a person and the gate (`.ci/run`) both run, so that there is one way to do it. Its one rule: a chore
//! needs nothing beyond the Rust toolchain, or gets what it needs by itself.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "chores speak to the terminal")]

mod bench;
mod chaos;
mod clients;
mod lint;
mod names;
mod openapi;
mod servers;
mod test;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::tools::{cargo, run};

const USAGE: &str = "\
usage: cargo xtask <chore> [arguments]

  test [ARGS]    every test and doc test, all features; ARGS go to `cargo test` (`cargo xtask test inv_03`); finds or
                 installs PostgreSQL and Redis first
  lint           names, formatting, clippy, documentation, licences and sources, advisories
  names          house rules that a look at the files can check, and which invariants have tests
  interleavings  every interleaving of what the policies' threads share, by loom
  openapi        whether docs/openapi.json is what the code says; `--write` makes it so
  clients        TypeScript and Python clients of the document, generated, compiled, run against the mock server
  chaos [--minutes N] [--seed S]  several nodes under load while every part fails in turn; 10 minutes if not said
  bench [ARGS]   the benchmarks of whole loads on private servers, beside peers: a table and a plot in `target/bench`; ARGS go
                 to `cargo bench`
  bench-policy [ARGS]  the benchmarks of the policy layers, beside their peers
  demo [ARGS]    the demo, built for release; ARGS go to `orchestrator demo`";

fn main() -> ExitCode {
    match chore() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let chore = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    match chore.to_str() {
        Some("test") => test::test(&rest),
        Some("chaos") => chaos::chaos(&rest),
        Some("lint") if rest.is_empty() => lint::lint(),
        Some("names") if rest.is_empty() => names::names(),
        Some("interleavings") if rest.is_empty() => test::interleavings(),
        Some("bench-policy") => run(cargo(["bench", "--package", "orchestrator-bench-policy", "--locked"]).args(rest)),
        Some("openapi") if rest.is_empty() => openapi::openapi(false),
        Some("openapi") if rest == ["--write"] => openapi::openapi(true),
        Some("clients") if rest.is_empty() => clients::clients(),
        Some("bench") => bench::bench(&rest),
        Some("demo") => {
            let demo = ["run", "--release", "--locked", "--bin", "orchestrator", "--", "demo"];
            run(cargo(demo).args(rest))
        }
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such chore\n{USAGE}"),
    }
}
