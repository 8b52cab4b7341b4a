//! The audit trail and the request log.

use orchestrator_types::{AuditRecord, AuditVerification, RequestView};

use super::workspace::Workspace;
use crate::client::Client;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Client {
    /// The install's own audit trail.
    pub fn audit(&self) -> List<AuditRecord> {
        List::new(self, Call::get("list_install_audit", ["audit"]))
    }

    /// Whether the install's own audit trail is whole.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn verify_audit(&self) -> Result<AuditVerification, Error> {
        self.body(&Call::get("verify_install_audit", ["audit", "verify"])).await
    }
}

impl Workspace {
    /// Who did what in this workspace.
    pub fn audit(&self) -> List<AuditRecord> {
        List::new(&self.client, Call::get("list_audit", self.path(["audit"])))
    }

    /// Whether this workspace's audit trail is whole.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn verify_audit(&self) -> Result<AuditVerification, Error> {
        self.client.body(&Call::get("verify_audit", self.path(["audit", "verify"]))).await
    }

    /// The request log: every call through a connector or to a callback.
    pub fn requests(&self) -> List<RequestView> {
        List::new(&self.client, Call::get("list_requests", self.path(["requests"])))
    }

    /// The request log of one thing: the id of an execution or job.
    pub fn requests_of(&self, subject: &str) -> List<RequestView> {
        List::new(&self.client, Call::get("list_requests", self.path(["requests"])).query("subject", Some(subject)))
    }
}
