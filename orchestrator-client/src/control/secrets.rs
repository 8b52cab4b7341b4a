//! Stored secrets: written, never read back.

use orchestrator_types::{Name, SecretRequest, SecretStatus, SecretView};

use super::workspace::Workspace;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Workspace {
    /// Writes a secret; an earlier value is not accepted any more.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn put_secret(&self, name: &Name, request: &SecretRequest) -> Result<SecretView, Error> {
        self.client.body(&Call::put("write_secret", self.path(["secrets", name.as_str()])).json(request)).await
    }

    /// Writes a new version of a secret beside the one that is active, so that both are accepted for a while.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is no such secret.
    pub async fn rotate_secret(&self, name: &Name, request: &SecretRequest) -> Result<SecretView, Error> {
        self.client
            .body(&Call::post("rotate_secret", self.path(["secrets", name.as_str(), "rotate"])).json(request))
            .await
    }

    /// How every secret reference stands.
    pub fn secrets(&self) -> List<SecretStatus> {
        List::new(&self.client, Call::get("list_secrets", self.path(["secrets"])))
    }
}
