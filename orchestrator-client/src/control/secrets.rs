//! Stored secrets: written, never read back; and the install's keys that seal them.

use orchestrator_types::{
    InstallKeysView, KeyRotationView, Name, RotateKekRequest, RotateSecretRequest, SecretRequest, SecretStatus,
    SecretView,
};

use super::workspace::Workspace;
use crate::client::Client;
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

    /// The same, saying for how long the version before is accepted.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is no such secret.
    pub async fn rotate_secret_over(&self, name: &Name, request: &RotateSecretRequest) -> Result<SecretView, Error> {
        let call = Call::post("rotate_secret", self.path(["secrets", name.as_str(), "rotate"])).json(request);
        self.client.body(&call).await
    }

    /// How every secret reference stands.
    pub fn secrets(&self) -> List<SecretStatus> {
        List::new(&self.client, Call::get("list_secrets", self.path(["secrets"])))
    }
}

impl Client {
    /// Which key of the install seals how much, and how the last rotation went.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn install_keys(&self) -> Result<InstallKeysView, Error> {
        self.body(&Call::get("list_install_keys", ["secrets", "keys"])).await
    }

    /// Begins to rotate the install's key; [`install_keys`](Self::install_keys) tells how far it is.
    ///
    /// # Errors
    /// An [`Error`]; 409 if a rotation is under way.
    pub async fn rotate_install_key(&self, request: &RotateKekRequest) -> Result<KeyRotationView, Error> {
        self.body(&Call::post("rotate_install_key", ["secrets", "rotate-kek"]).json(request)).await
    }
}
