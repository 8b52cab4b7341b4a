//! The install that a command runs or reads where it is: its settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use orchestrator_core::environment_of;
use orchestrator_core::store::Store;

use crate::settings::{SettingError, Settings, Sources};
use crate::stores::{self, Unreadable};

/// Which install: a settings file, over it ORCHESTRATOR__* variables, over it these flags.
#[derive(Debug, Clone, Args)]
pub(super) struct Install {
    /// The settings file; ./orchestrator.toml if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// `environment`: the install serves the workspaces whose names end in it.
    #[arg(long)]
    environment: Option<String>,
    /// `data_dir`: the folder of what has no setting of its own.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// `store.url`.
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
    /// `listen.api`.
    #[arg(long, value_name = "ADDRESS")]
    listen_api: Option<SocketAddr>,
    /// `listen.ops`.
    #[arg(long, value_name = "ADDRESS")]
    listen_ops: Option<SocketAddr>,
    /// `listen.control`.
    #[arg(long, value_name = "ADDRESS")]
    listen_control: Option<SocketAddr>,
}

impl Install {
    /// The settings of the file, the environment and the flags.
    pub(super) fn settings(&self) -> Result<Settings, SettingError> {
        Settings::load(&self.sources())
    }

    /// The layers of settings, so that a command can put flags of its own over them.
    pub(super) fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone())
            .with_flag("environment", self.environment.as_ref())
            .with_flag("data_dir", self.data_dir.as_ref())
            .with_flag("store.url", self.store_url.as_ref())
            .with_flag("listen.api", self.listen_api)
            .with_flag("listen.ops", self.listen_ops)
            .with_flag("listen.control", self.listen_control)
    }
}

/// The store, to be read beside a server that may be running.
pub(super) async fn read_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    let store = match stores::read(&settings.store).await {
        Ok(store) => store,
        Err(error @ Unreadable::NotYet(_)) => bail!("{error}: start the server first (`orchestrator serve`)"),
        Err(error) => return Err(error.into()),
    };
    match environment_of(store.as_ref()).await.context("the store")? {
        Some(environment) if environment == settings.environment => Ok(store),
        Some(environment) => {
            bail!(
                "the store belongs to the environment `{environment}`, and the settings say `{}`",
                settings.environment
            )
        }
        None => bail!("the store is empty: start the server first (`orchestrator serve`)"),
    }
}
