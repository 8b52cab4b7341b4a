//! The server's settings: a TOML file, over it the environment, over it flags.
//!
//! One rule: a setting that is unknown or cannot work stops the start with one line that names the setting and where it
//! came from, and never shows its value.

mod check;
mod document;
mod error;
mod payloads;
mod queue;
mod sources;
mod store;
#[cfg(test)]
mod tests;
mod vault;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use orchestrator_core::worker::WorkerOptions;
use orchestrator_http::tokens::IssuerConfig;
use orchestrator_http::{ApiLimits, EdgeLimits};
use orchestrator_types::Environment;

use crate::roles::Roles;
pub use error::{SettingError, SettingSource};
pub use payloads::{PayloadPlace, PayloadSettings};
pub use queue::QueuePlace;
pub use sources::Sources;
pub use store::StorePlace;
pub use vault::VaultSettings;

/// Where everything durable is kept if nothing else is said.
const DATA_DIR: &str = "orchestrator-data";
/// How long a stopping server waits for what runs.
const DRAIN: Duration = Duration::from_secs(20);

/// Everything that a server is started with, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What this process does.
    pub roles: Roles,
    /// The environment that the install serves: its workspaces are named `*-<environment>`.
    pub environment: Environment,
    /// The folder of what has no setting of its own.
    pub data_dir: PathBuf,
    /// Where everything durable is.
    pub store: StorePlace,
    /// Who says which jobs may be ready.
    pub queue: QueuePlace,
    /// Where large bodies are stored apart.
    pub payloads: PayloadSettings,
    /// Where the server listens.
    pub listen: Listen,
    /// Issuers besides the install itself whose tokens are taken.
    pub issuers: Vec<IssuerConfig>,
    /// The install's keys, and where secret files lie.
    pub secrets: SecretSettings,
    /// Addresses that outbound calls may reach though they are private.
    pub egress_allow: Vec<IpNet>,
    /// How the log is written.
    pub log: LogFormat,
    /// How this node runs jobs.
    pub workers: WorkerOptions,
    /// What a request may bring.
    pub api_limits: ApiLimits,
    /// What a connection may cost.
    pub edge_limits: EdgeLimits,
    /// How long a stopping server waits for what runs.
    pub drain: Duration,
}

/// The listeners. Port 0 takes a free one; [`Running`](crate::compose::Running) tells which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The exec API, the webhook ingress, tokens.
    pub api: SocketAddr,
    /// Health and metrics.
    pub ops: SocketAddr,
    /// The control API; on the `api` listener if absent.
    pub control: Option<SocketAddr>,
}

/// Where the keys and the secret files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSettings {
    /// The file of the key that seals; made if the install is new.
    pub kek_file: PathBuf,
    /// Files of former keys, which still open.
    pub older_kek_files: Vec<PathBuf>,
    /// The folder of secret files, one folder in it for each workspace.
    pub dir: Option<PathBuf>,
    /// The vault that secrets are read from.
    pub vault: Option<VaultSettings>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

impl Settings {
    /// The settings of a server of which nothing is set: environment `dev`, embedded storage in `data_dir`, 127.0.0.1:8080
    /// and 9090.
    #[must_use]
    pub fn of(data_dir: impl AsRef<Path>) -> Self {
        let data_dir = data_dir.as_ref().to_owned();
        Self {
            roles: Roles::ALL,
            environment: default_environment(),
            store: StorePlace::of(&data_dir),
            queue: QueuePlace::Store,
            payloads: PayloadSettings::of(&data_dir),
            listen: Listen { api: loopback(8080), ops: loopback(9090), control: None },
            issuers: Vec::new(),
            secrets: SecretSettings {
                kek_file: kek_in(&data_dir),
                older_kek_files: Vec::new(),
                dir: None,
                vault: None,
            },
            egress_allow: Vec::new(),
            log: LogFormat::Json,
            workers: WorkerOptions { drain: DRAIN, ..WorkerOptions::default() },
            api_limits: ApiLimits::default(),
            edge_limits: EdgeLimits { drain: DRAIN, ..EdgeLimits::default() },
            drain: DRAIN,
            data_dir,
        }
    }

    /// The settings of a server for trying things out: all in `folder`, on free ports of this machine, and calls may reach
    /// this machine.
    ///
    /// # Errors
    /// None that is known; ranges are parsed.
    pub fn for_demo(folder: &Path) -> Result<Self, ipnet::AddrParseError> {
        Ok(Self {
            listen: Listen { api: loopback(0), ops: loopback(0), control: None },
            egress_allow: vec!["127.0.0.0/8".parse()?],
            ..Self::of(folder)
        })
    }

    /// Reads and checks the settings of these sources.
    ///
    /// # Errors
    /// A setting is unknown or cannot work, or the file cannot be read.
    pub fn load(sources: &Sources) -> Result<Self, SettingError> {
        let layered = sources.layered()?;
        check::settings(&layered)
    }
}

#[allow(clippy::unwrap_used, reason = "a constant that is a well-formed name")]
fn default_environment() -> Environment {
    "dev".parse().unwrap()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn kek_in(data_dir: &Path) -> PathBuf {
    data_dir.join("kek")
}
