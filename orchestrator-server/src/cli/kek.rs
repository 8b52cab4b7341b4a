//! `orchestrator secret rotate-kek`, `keys` and `new-kek`: the install's key.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use orchestrator_client::Client;
use orchestrator_core::secrets::seal::InstallKey;
use orchestrator_types::{InstallKeyState, KeyRotationStatus, KeyRotationView, RotateKekRequest};
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::connection::{Because, Connection};
use super::output::{Printer, note, plain, write};

const LOOK: Duration = Duration::from_millis(500);

/// A rotation of the install's key.
#[derive(Debug, Args)]
pub(super) struct RotateKek {
    /// Rotate to the key that stands first in the key file, instead of having the server draw one into it. For an install
    /// of several nodes: bring the key to each of them first.
    #[arg(long)]
    from_file: bool,
    /// Wait for the end for so many seconds; it goes on by itself after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    connection: Connection,
}

impl RotateKek {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let client = self.connection.client()?;
        let request = RotateKekRequest { reason: self.because.reason, generate: !self.from_file };
        let begun = client.rotate_install_key(&request).await?;
        let until = Instant::now() + Duration::from_secs(self.wait);
        let mut told = String::new();
        loop {
            let rotation = client.install_keys().await?.rotation;
            let Some(rotation) = rotation.filter(|rotation| rotation.key == begun.key) else {
                bail!("another rotation has taken the place of this one");
            };
            let line = progress(&rotation);
            if line != told {
                note(&line)?;
                told = line;
            }
            if matches!(rotation.status, KeyRotationStatus::Done | KeyRotationStatus::Failed) {
                return ended(printer, &rotation, request.generate);
            }
            if Instant::now() >= until {
                note("it goes on: `orchestrator secret keys` tells how far it is")?;
                printer.json(&rotation)?;
                return Ok(Verdict::Bad);
            }
            sleep(LOOK).await;
        }
    }
}

fn progress(rotation: &KeyRotationView) -> String {
    format!(
        "{}: {} looked at, {} sealed again, {} not to be opened",
        plain(&rotation.status),
        rotation.seen,
        rotation.resealed,
        rotation.failed
    )
}

fn ended(printer: Printer, rotation: &KeyRotationView, generated: bool) -> anyhow::Result<Verdict> {
    printer.thing(
        rotation,
        &[
            ("key", rotation.key.clone()),
            ("status", plain(&rotation.status)),
            ("sealed again", rotation.resealed.to_string()),
            ("failed", rotation.failed.to_string()),
            ("why", rotation.detail.clone().unwrap_or_default()),
        ],
    )?;
    let good = rotation.status == KeyRotationStatus::Done;
    if good && generated {
        note("the key file holds the new key before the old one: keep a copy of it, apart from the store's")?;
    }
    if good {
        note("the old key seals nothing any more: take it out of the key file when backups older than this are gone")?;
    }
    Ok(good.into())
}

/// Shows which key seals how much. What is missing is said on standard error.
pub(super) async fn keys(printer: Printer, client: &Client) -> anyhow::Result<()> {
    let view = client.install_keys().await?;
    if printer.is_json() {
        return printer.json(&view);
    }
    let rows = view
        .keys
        .iter()
        .map(|key| vec![key.id.clone(), plain(&key.state), key.data_keys.to_string(), key.install_secrets.to_string()]);
    printer.table(&["key", "state", "data keys", "install secrets"], rows)?;
    if let Some(rotation) = &view.rotation {
        note(&format!("rotation to {}: {}", rotation.key, progress(rotation)))?;
    }
    if view.keys.iter().any(|key| key.state == InstallKeyState::Missing) {
        note("something is sealed by a key that this node lacks: bring it back to its key files")?;
    }
    Ok(())
}

/// Prints a new key, as a line of a key file.
pub(super) fn new_kek() -> anyhow::Result<()> {
    write(InstallKey::generate()?.to_file_text().expose())
}
