//! Every test of the workspace.

use std::ffi::OsString;

use anyhow::Result;

use crate::servers;
use crate::tools::{cargo, run};

/// Runs them all, doc tests included, with plain `cargo test`: a bare toolchain and the servers suffice, and the closing
/// lines are its own. Goes on after a failure, so that one run tells of all.
pub(crate) fn test(arguments: &[OsString]) -> Result<()> {
    servers::ensure()?;
    run(cargo(["test", "--workspace", "--all-features", "--locked", "--no-fail-fast"]).args(arguments))
}

/// Explores the interleavings of what threads share. Built apart from everything else, because a flag of the compiler puts
/// loom in the place of the standard library's locks and atomics.
pub(crate) fn interleavings() -> Result<()> {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut command = cargo(["test", "--package", "orchestrator-core", "--lib", "--locked", "--target-dir"]);
    command.arg("target/interleavings").args(["--", "interleavings::"]);
    run(command.env("RUSTFLAGS", format!("{flags} --cfg interleavings")))
}
