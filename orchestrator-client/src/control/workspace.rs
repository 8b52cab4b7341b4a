//! Workspaces: making, listing, suspending, deleting.

use orchestrator_types::{ReasonRequest, WorkspaceId, WorkspaceRequest, WorkspaceView};

use crate::client::Client;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

/// One workspace, seen by an operator. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub(super) client: Client,
    id: WorkspaceId,
}

impl Client {
    /// The control API of one workspace. Nothing is asked yet, not even whether it exists.
    #[must_use]
    pub fn workspace(&self, id: &WorkspaceId) -> Workspace {
        Workspace { client: self.clone(), id: id.clone() }
    }

    /// The workspaces that the caller may see.
    pub fn workspaces(&self) -> List<WorkspaceView> {
        List::new(self, Call::get("list_workspaces", ["workspaces"]))
    }

    /// Makes a workspace, with config version 1 active.
    ///
    /// # Errors
    /// An [`Error`]; 409 if the name is taken, `wrong_environment` if it ends in another environment than the install's.
    pub async fn create_workspace(&self, request: &WorkspaceRequest) -> Result<WorkspaceView, Error> {
        self.body(&Call::post("create_workspace", ["workspaces"]).json(request)).await
    }
}

impl Workspace {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &WorkspaceId {
        &self.id
    }

    /// The workspace as it stands.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is none that the caller may see.
    pub async fn get(&self) -> Result<WorkspaceView, Error> {
        self.client.body(&Call::get("get_workspace", self.path([]))).await
    }

    /// Stops serving it: the exec API refuses, webhooks are still taken in.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn suspend(&self, reason: &str) -> Result<WorkspaceView, Error> {
        self.client.body(&Call::post("suspend_workspace", self.path(["suspend"])).json(&because(reason))).await
    }

    /// Serves it again.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn resume(&self, reason: &str) -> Result<WorkspaceView, Error> {
        self.client.body(&Call::post("resume_workspace", self.path(["resume"])).json(&because(reason))).await
    }

    /// Deletes it. Its name is not given again.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn delete(&self, reason: &str) -> Result<(), Error> {
        self.client.done(&Call::delete("delete_workspace", self.path([])).json(&because(reason))).await
    }

    /// The path of something in this workspace.
    pub(super) fn path<'a>(&'a self, rest: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
        ["workspaces", self.id.as_str()].into_iter().chain(rest)
    }
}

/// The body of an action that needs a reason only.
pub(super) fn because(reason: &str) -> ReasonRequest {
    ReasonRequest { reason: reason.to_owned() }
}
