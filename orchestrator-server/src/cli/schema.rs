//! `orchestrator schema`.

use clap::Subcommand;
use orchestrator_core::config::bundle::bundle_schema_text;

use super::Verdict;
use super::output::write;

/// JSON Schemas of what is written by hand.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Schema {
    /// Of a bundle: what `apply` takes. `GET /schemas/bundle.json` answers the same.
    Bundle,
}

impl Schema {
    pub(super) fn run(self) -> anyhow::Result<Verdict> {
        match self {
            Self::Bundle => write(bundle_schema_text().trim_end())?,
        }
        Ok(Verdict::Good)
    }
}
