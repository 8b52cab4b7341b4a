//! The OpenAPI document: generated from the code, kept in `docs/openapi.json` so that a change of the contract is seen in review.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::tools::{example, root};

/// Where the document is kept.
pub(crate) fn kept() -> PathBuf {
    root().join("docs").join("openapi.json")
}

/// Compares what is kept with what the code says; with `write`, keeps what the code says.
pub(crate) fn openapi(write: bool) -> Result<()> {
    let document = generated()?;
    if write {
        return fs::write(kept(), document).context("docs/openapi.json cannot be written");
    }
    let kept = fs::read_to_string(kept()).unwrap_or_default();
    let differs = kept.lines().zip(document.lines()).position(|(kept, generated)| kept != generated);
    ensure!(
        kept == document,
        "docs/openapi.json is not what the code says (from line {}): run `cargo xtask openapi --write`, and look at the diff",
        differs.unwrap_or_else(|| kept.lines().count().min(document.lines().count())) + 1,
    );
    println!("docs/openapi.json is what the code says: {} lines", document.lines().count());
    Ok(())
}

fn generated() -> Result<String> {
    let output = Command::new(example("openapi")?).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.context("the document could not be generated")?;
    ensure!(output.status.success(), "the document could not be generated ({})", output.status);
    String::from_utf8(output.stdout).context("the document is no text")
}
