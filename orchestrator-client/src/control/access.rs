//! Who may act in a workspace: operators and service identities.

use orchestrator_types::{
    IdentityCreated, IdentityRequest, IdentityView, OperatorRequest, OperatorView, Role, ServiceName,
};

use super::workspace::Workspace;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Workspace {
    /// The operators and their roles.
    pub fn operators(&self) -> List<OperatorView> {
        List::new(&self.client, Call::get("list_operators", self.path(["operators"])))
    }

    /// The role of the operator whose tokens have the subject `sub`.
    ///
    /// # Errors
    /// An [`Error`]; 404 if they have none.
    pub async fn operator(&self, sub: &str) -> Result<OperatorView, Error> {
        self.client.body(&Call::get("get_operator", self.path(["operators", sub]))).await
    }

    /// Gives an operator a role.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn put_operator(&self, sub: &str, role: Role) -> Result<OperatorView, Error> {
        self.client
            .body(&Call::put("put_operator", self.path(["operators", sub])).json(&OperatorRequest { role }))
            .await
    }

    /// Takes an operator's role away.
    ///
    /// # Errors
    /// An [`Error`]; 404 if they have none.
    pub async fn delete_operator(&self, sub: &str) -> Result<(), Error> {
        self.client.done(&Call::delete("delete_operator", self.path(["operators", sub]))).await
    }

    /// The service identities.
    pub fn identities(&self) -> List<IdentityView> {
        List::new(&self.client, Call::get("list_identities", self.path(["identities"])))
    }

    /// Makes a service identity. Its secret is in this answer and nowhere else.
    ///
    /// # Errors
    /// An [`Error`]; 409 if the name is taken.
    pub async fn create_identity(&self, request: &IdentityRequest) -> Result<IdentityCreated, Error> {
        self.client
            .body(&Call::post("create_identity", self.path(["identities"])).json(request).with_secret_answer())
            .await
    }

    /// Deletes a service identity; it gets no more tokens.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is none.
    pub async fn delete_identity(&self, name: &ServiceName) -> Result<(), Error> {
        self.client.done(&Call::delete("delete_identity", self.path(["identities", name.as_str()]))).await
    }
}
