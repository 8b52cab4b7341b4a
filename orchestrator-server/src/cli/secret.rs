//! `orchestrator secret`.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orchestrator_client::List;
use orchestrator_core::secrets::Secret;
use orchestrator_types::{Name, RotateSecretRequest, SecretRequest, SecretStatus, SecretView, WorkspaceId};

use super::Verdict;
use super::connection::{Connection, Paging};
use super::kek::{self, RotateKek};
use super::output::{Printer, note, plain};

/// A longer value is none.
const LONGEST: u64 = 64 * 1024;

/// Stored secrets.
#[derive(Debug, Subcommand)]
pub(super) enum Secrets {
    /// Write a secret. An earlier value is not accepted any more.
    Set(Write),
    /// Write a new version; the one before is accepted beside it for a while.
    Rotate(Rotate),
    /// Show how every secret reference stands.
    List {
        /// The workspace.
        workspace: WorkspaceId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show the versions of a stored secret, or of whatever a reference points to.
    Versions {
        /// The workspace.
        workspace: WorkspaceId,
        /// The name of the reference or of the stored secret.
        name: Name,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show which key of the install seals how much.
    Keys {
        #[command(flatten)]
        connection: Connection,
    },
    /// Have everything sealed by a new key of the install, while everything runs.
    RotateKek(RotateKek),
    /// Print a new key for a key file. Keep it where only the server reads it.
    NewKek,
}

/// A new version of a secret.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    write: Write,
    /// For how many seconds the version before is accepted: a day if not said, 30 days at most.
    #[arg(long, value_name = "SECONDS")]
    overlap: Option<u64>,
}

/// A secret to be written.
#[derive(Debug, Args)]
pub(super) struct Write {
    /// The workspace.
    workspace: WorkspaceId,
    /// The secret's name.
    name: Name,
    #[command(flatten)]
    value: ValueSource,
    #[command(flatten)]
    connection: Connection,
}

/// Where a value is taken from: standard input if nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct ValueSource {
    /// Take the value from this environment variable.
    #[arg(long, value_name = "NAME")]
    from_env: Option<String>,
    /// Take the value from this file.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

impl ValueSource {
    fn value(&self) -> anyhow::Result<Secret> {
        match (&self.from_env, &self.from_file) {
            (Some(name), _) => of_variable(name),
            (None, Some(path)) => of_file(path),
            (None, None) => {
                if io::stdin().is_terminal() {
                    note("type the value, then Ctrl-D:")?;
                }
                read(io::stdin().lock()).context("the value on standard input")
            }
        }
    }
}

/// The secret in a variable of this process.
pub(super) fn of_variable(name: &str) -> anyhow::Result<Secret> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    Ok(Secret::new(value.with_context(|| format!("the environment variable {name} holds no value"))?))
}

/// The secret in a file, without the newline at its end.
pub(super) fn of_file(path: &std::path::Path) -> anyhow::Result<Secret> {
    let what = || format!("the value in {}", path.display());
    read(std::fs::File::open(path).with_context(what)?).with_context(what)
}

fn read(from: impl Read) -> anyhow::Result<Secret> {
    let mut text = String::new();
    from.take(LONGEST + 1).read_to_string(&mut text).context("it is no text")?;
    if text.len() as u64 > LONGEST {
        bail!("it is longer than 64 KiB");
    }
    for ending in ['\n', '\r'] {
        if text.ends_with(ending) {
            text.pop();
        }
    }
    if text.is_empty() {
        bail!("it is empty");
    }
    Ok(Secret::new(text))
}

impl Secrets {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Set(write) => {
                let (workspace, request) = write.ready()?;
                show(printer, &workspace.put_secret(&write.name, &request).await?)?;
            }
            Self::Rotate(Rotate { write, overlap }) => {
                let (workspace, request) = write.ready()?;
                let request = RotateSecretRequest { value: request.value, overlap_s: overlap };
                show(printer, &workspace.rotate_secret_over(&write.name, &request).await?)?;
            }
            Self::List { workspace, paging, connection } => {
                let page = paging.of(connection.workspace(&workspace)?.secrets()).await?;
                printer.page(&page, &["name", "source", "health", "version", "checked"], |secret: &SecretStatus| {
                    vec![
                        secret.name.to_string(),
                        secret.source.clone(),
                        plain(&secret.health),
                        plain(&secret.version),
                        secret.checked_at.to_string(),
                    ]
                })?;
            }
            Self::Versions { workspace, name, connection } => {
                return versions(printer, connection.workspace(&workspace)?.secrets(), &name).await;
            }
            Self::Keys { connection } => kek::keys(printer, &connection.client()?).await?,
            Self::RotateKek(command) => return command.run(printer).await,
            Self::NewKek => kek::new_kek()?,
        }
        Ok(Verdict::Good)
    }
}

async fn versions(printer: Printer, list: List<SecretStatus>, name: &Name) -> anyhow::Result<Verdict> {
    let page = list.limit(500).page().await?;
    let Some(secret) = page.items.into_iter().find(|secret| secret.name == *name) else {
        bail!("there is no reference and no stored secret `{name}`");
    };
    if printer.is_json() {
        printer.json(&secret)?;
    } else {
        let rows = secret.versions.iter().map(|version| {
            vec![
                version.version.to_string(),
                plain(&version.state),
                version.created_at.to_string(),
                plain(&version.until),
            ]
        });
        printer.table(&["version", "state", "written", "until"], rows)?;
    }
    Ok(Verdict::Good)
}

impl Write {
    fn ready(&self) -> anyhow::Result<(orchestrator_client::Workspace, SecretRequest)> {
        // The token first: nobody types a secret in vain.
        let workspace = self.connection.workspace(&self.workspace)?;
        Ok((workspace, SecretRequest { value: self.value.value()?.expose().to_owned() }))
    }
}

fn show(printer: Printer, secret: &SecretView) -> anyhow::Result<()> {
    let accepted: Vec<String> = secret.active_versions.iter().map(ToString::to_string).collect();
    printer.thing(
        secret,
        &[
            ("name", secret.name.to_string()),
            ("version", secret.version.to_string()),
            ("accepted", accepted.join(", ")),
            ("updated", secret.updated_at.to_string()),
        ],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_newline_at_the_end_is_not_of_the_value() {
        for (text, value) in [("a\n", "a"), ("a\r\n", "a"), (" a b ", " a b "), ("a\n\n", "a\n")] {
            assert_eq!(read(text.as_bytes()).unwrap().expose(), value, "{text:?}");
        }
        for text in [&b""[..], b"\n", b"\r\n", b"\xff", &[b'a'; 64 * 1024 + 1]] {
            assert!(read(text).is_err());
        }
    }
}
