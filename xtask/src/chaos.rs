//! The fault suite, for as long as somebody wants.

use std::ffi::OsString;

use anyhow::{Context, Result, bail, ensure};

use crate::servers;
use crate::tools::{cargo, run};

/// The one test of the suite that goes on with new faults.
const TEST: &str = "inv_01_nothing_acknowledged_is_lost_or_told_twice_whichever_part_fails";
/// More is a mistake.
const MOST_MINUTES: u64 = 7 * 24 * 60;

/// Runs it with what is said: `--minutes N` and `--seed S`.
///
/// # Errors
/// The arguments are none, or what has to hold does not.
pub(crate) fn chaos(arguments: &[OsString]) -> Result<()> {
    let (mut minutes, mut seed) = (10, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            let text = arguments.next().and_then(|text| text.to_str());
            let text = text.with_context(|| format!("a number is expected after {}", argument.display()))?;
            text.parse().with_context(|| format!("a number is expected after {}", argument.display()))
        };
        match argument.to_str() {
            Some("--minutes") => minutes = number()?,
            Some("--seed") => seed = Some(number()?),
            _ => bail!("usage: cargo xtask chaos [--minutes N] [--seed S]"),
        }
    }
    ensure!((1..=MOST_MINUTES).contains(&minutes), "1 to {MOST_MINUTES} minutes");
    servers::ensure()?;
    let mut command = cargo(["test", "--package", "orchestrator-server", "--locked", "--test", "chaos", "--"]);
    command.args(["--exact", TEST, "--nocapture"]).env("CHAOS_MINUTES", minutes.to_string());
    if let Some(seed) = seed {
        command.env("SEED", seed.to_string());
    }
    run(&mut command)
}
