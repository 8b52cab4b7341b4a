//! `orchestrator serve`.

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::Verdict;
use super::install::Install;
use super::signals::Signals;
use crate::Server;
use crate::logging;
use crate::roles::Roles;
use crate::settings::Settings;

/// Run a server.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    install: Install,
    /// What this process does, of `api`, `ingress`, `worker` and `console`.
    #[arg(long, default_value_t = Roles::ALL)]
    roles: Roles,
    /// `drain_s`: how many seconds a stopping server waits for what runs.
    #[arg(long, value_name = "SECONDS")]
    drain_s: Option<u64>,
}

/// Beyond the drain: leases that are given back are written, the store is closed.
const AFTER_DRAIN: Duration = Duration::from_secs(15);

impl Serve {
    pub(super) async fn run(self, server: Server) -> anyhow::Result<Verdict> {
        let mut settings = Settings::load(&self.install.sources().with_flag("drain_s", self.drain_s))?;
        settings.roles = self.roles;
        logging::install(settings.log, "info")?;
        // Before anything starts: a signal in between must not kill a half-started server.
        let mut signals = Signals::listen()?;
        let (drain, environment) = (settings.drain, settings.environment.clone());
        let running = tokio::select! {
            running = server.start(settings) => running?,
            name = signals.next() => {
                tracing::info!(signal = name, "stopped before it was ready");
                return Ok(Verdict::Good);
            }
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            %environment,
            roles = %self.roles,
            api = running.api_url(),
            control = running.control_url(),
            ops = running.ops_url(),
            "ready"
        );
        let name = signals.next().await;
        tracing::info!(signal = name, drain_s = drain.as_secs(), "stopping");
        let stopped = tokio::select! {
            stopped = timeout(drain + AFTER_DRAIN, running.shutdown(drain)) => stopped.is_ok(),
            name = signals.next() => {
                tracing::warn!(signal = name, "stopped at once by a second signal: leases end by themselves");
                false
            }
        };
        if stopped {
            tracing::info!("stopped");
        }
        Ok(stopped.into())
    }
}
