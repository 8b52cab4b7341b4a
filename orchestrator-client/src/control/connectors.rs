//! Connectors: the kinds that a server has, and how a workspace's connectors stand.

use orchestrator_types::{ConnectorCheck, ConnectorKindView, Name, OperationView};

use super::workspace::Workspace;
use crate::client::Client;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Client {
    /// Every connector kind that the server has, with the schemas of its settings and operations.
    pub fn connector_kinds(&self) -> List<ConnectorKindView> {
        List::new(self, Call::get("list_connector_kinds", ["connector-kinds"]))
    }
}

impl Workspace {
    /// Every operation of a connector: those of its kind, and those that its settings name.
    pub fn operations(&self, connector: &Name) -> List<OperationView> {
        List::new(
            &self.client,
            Call::get("list_operations", self.path(["connectors", connector.as_str(), "operations"])),
        )
    }

    /// Asks a connector's upstream whether it would serve a call. That it would not is told in the answer.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is no such connector, 429 while it is being checked already.
    pub async fn check_connector(&self, name: &Name) -> Result<ConnectorCheck, Error> {
        self.client.body(&Call::post("check_connector", self.path(["connectors", name.as_str(), "check"]))).await
    }
}
