//! Every test of the workspace.

use std::ffi::OsString;

use anyhow::Result;

use crate::tools::{cargo, run};

/// Runs them all, doc tests included, with plain `cargo test`: a bare toolchain suffices, and the closing
/// lines are its own. Goes on after a failure, so that one run tells of all.
pub(crate) fn test(arguments: &[OsString]) -> Result<()> {
    run(cargo(["test", "--workspace", "--all-features", "--locked", "--no-fail-fast"]).args(arguments))
}
