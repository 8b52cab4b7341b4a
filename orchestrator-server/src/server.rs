//! A server with connector kinds of one's own.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use orchestrator_connectors::EgressClient;
use orchestrator_core::connector::ConnectorKind;

use crate::compose::{self, Running};
use crate::{Settings, cli};

type Make = Arc<dyn Fn(&EgressClient) -> Arc<dyn ConnectorKind> + Send + Sync>;

/// The `orchestrator` binary as a value: its whole command line, and whatever connector kinds are added to those that are
/// there already. Cloning shares them.
///
/// ```
/// use std::process::ExitCode;
///
/// use orchestrator_core::connector::ConnectorKind;
/// use orchestrator_server::Server;
///
/// /// The main function of a binary with one kind more.
/// fn run(kind: impl ConnectorKind) -> ExitCode {
///     Server::new().connector(kind).run()
/// }
/// ```
#[derive(Clone, Default)]
pub struct Server {
    kinds: Vec<Make>,
}

impl Server {
    /// The server as it comes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a connector kind more. Its name must be free: a server whose kinds share one does not start.
    #[must_use]
    pub fn connector(mut self, kind: impl ConnectorKind) -> Self {
        let kind: Arc<dyn ConnectorKind> = Arc::new(kind);
        self.kinds.push(Arc::new(move |_| kind.clone()));
        self
    }

    /// The same with a kind that calls through the server's guarded client, as it must if its settings name an address.
    #[must_use]
    pub fn connector_with<K: ConnectorKind>(
        mut self,
        kind: impl Fn(&EgressClient) -> K + Send + Sync + 'static,
    ) -> Self {
        self.kinds.push(Arc::new(move |client| Arc::new(kind(client))));
        self
    }

    /// Runs the command of this process's arguments, as `serve`. 0 if all is well, 1 if not, 2 if the arguments are none.
    #[must_use]
    pub fn run(self) -> ExitCode {
        cli::main(self)
    }

    /// Starts a server inside of a program: see [`compose::start`].
    ///
    /// # Errors
    /// As [`compose::start`]; or two kinds share a name.
    pub async fn start(self, settings: Settings) -> anyhow::Result<Running> {
        compose::start_with(settings, &self).await
    }

    /// The kinds that were added.
    pub(crate) fn kinds(&self, client: &EgressClient) -> impl Iterator<Item = Arc<dyn ConnectorKind>> {
        self.kinds.iter().map(|make| make(client))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Server").field("kinds", &self.kinds.len()).finish()
    }
}
