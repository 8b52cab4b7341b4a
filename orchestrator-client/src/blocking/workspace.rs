//! The control API without `async`.

use orchestrator_types::{
    AuditRecord, AuditVerification, Bundle, BundleResult, ConfigDiff, ConfigRequest, ConfigVersion,
    ConfigVersionSummary, ConnectorCheck, DeadLetter, DlqFilter, DlqRequest, DlqResult, IdentityCreated,
    IdentityRequest, IdentityView, InboxId, InboxView, Name, OperationView, OperatorView, RequestView, Role,
    RotateSecretRequest, SecretRequest, SecretStatus, SecretView, ServiceName, WorkspaceId, WorkspaceView,
};
use serde_json::Value;

use super::calls::{ConfigChange, List};
use super::client::{prepares, waits};
use super::runtime::Runtime;
use crate::answer::{Answer, ETag};
use crate::control::Resource;
use crate::error::Error;

/// One workspace, seen by an operator: the [workspace](crate::Workspace) without `async`.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub(super) workspace: crate::Workspace,
    pub(super) runtime: Runtime,
}

impl Workspace {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &WorkspaceId {
        self.workspace.id()
    }

    /// Makes or replaces one part of the config; which kind of part, its type says.
    pub fn put<R: Resource>(&self, name: &Name, resource: &R) -> ConfigChange {
        ConfigChange { change: self.workspace.put(name, resource), runtime: self.runtime.clone() }
    }

    /// Removes one part of the config: `remove::<Policy>(&name)`.
    pub fn remove<R: Resource>(&self, name: &Name) -> ConfigChange {
        ConfigChange { change: self.workspace.remove::<R>(name), runtime: self.runtime.clone() }
    }

    prepares! { workspace:
        /// Makes the next config version, active unless `activate` is false.
        fn add_config(request: &ConfigRequest) -> ConfigChange.change: ConfigChange;
        /// Makes a version the active one, on every node.
        fn activate_config(version: u32, reason: &str) -> ConfigChange.change: ConfigChange;
        /// Makes the version active that was so before the present one.
        fn rollback_config(reason: &str) -> ConfigChange.change: ConfigChange;
        /// The versions, without their documents.
        fn config_versions() -> List.list: List<ConfigVersionSummary>;
        /// The operators and their roles.
        fn operators() -> List.list: List<OperatorView>;
        /// The service identities.
        fn identities() -> List.list: List<IdentityView>;
        /// Who did what in this workspace.
        fn audit() -> List.list: List<AuditRecord>;
        /// The request log.
        fn requests() -> List.list: List<RequestView>;
        /// The request log of one thing.
        fn requests_of(subject: &str) -> List.list: List<RequestView>;
        /// The dead letters.
        fn dlq() -> List.list: List<DeadLetter>;
        /// The dead letters that fit every condition of `filter`.
        fn dlq_matching(filter: &DlqFilter) -> List.list: List<DeadLetter>;
        /// What providers have sent.
        fn inbox() -> List.list: List<InboxView>;
        /// Every operation of a connector: those of its kind, and those that its settings name.
        fn operations(connector: &Name) -> List.list: List<OperationView>;
        /// How every secret reference stands.
        fn secrets() -> List.list: List<SecretStatus>;
    }

    waits! { workspace:
        /// The workspace as it stands.
        fn get() -> WorkspaceView;
        /// Stops serving it.
        fn suspend(reason: &str) -> WorkspaceView;
        /// Serves it again.
        fn resume(reason: &str) -> WorkspaceView;
        /// Deletes it. Its name is not given again.
        fn delete(reason: &str) -> ();
        /// The active config version, and its validator.
        fn config() -> Answer<ConfigVersion>;
        /// The active config version if it is another than the one that `etag` came with.
        fn config_if_changed(etag: &ETag) -> Option<Answer<ConfigVersion>>;
        /// One version.
        fn config_version(version: u32) -> ConfigVersion;
        /// What differs between two versions.
        fn diff_configs(from: u32, to: u32) -> ConfigDiff;
        /// The workspace as one document, without secrets.
        fn export_bundle() -> Bundle;
        /// Makes the workspace what the document says.
        fn import_bundle(bundle: &Bundle, dry_run: bool) -> BundleResult;
        /// What an import of this document would change, and the validator for `apply_bundle`.
        fn plan_bundle(document: &Value, rename: bool) -> Answer<BundleResult>;
        /// Makes the workspace what the document says; with `if_match`, only if its config is still the one planned on.
        fn apply_bundle(document: &Value, rename: bool, if_match: Option<&str>) -> Answer<BundleResult>;
        /// Writes a secret.
        fn put_secret(name: &Name, request: &SecretRequest) -> SecretView;
        /// Writes a new version of a secret beside the one that is active.
        fn rotate_secret(name: &Name, request: &SecretRequest) -> SecretView;
        /// The same, saying for how long the version before is accepted.
        fn rotate_secret_over(name: &Name, request: &RotateSecretRequest) -> SecretView;
        /// The role of the operator whose tokens have the subject `sub`.
        fn operator(sub: &str) -> OperatorView;
        /// Gives an operator a role.
        fn put_operator(sub: &str, role: Role) -> OperatorView;
        /// Takes an operator's role away.
        fn delete_operator(sub: &str) -> ();
        /// Makes a service identity. Its secret is in this answer and nowhere else.
        fn create_identity(request: &IdentityRequest) -> IdentityCreated;
        /// Deletes a service identity.
        fn delete_identity(name: &ServiceName) -> ();
        /// Whether this workspace's audit trail is whole.
        fn verify_audit() -> AuditVerification;
        /// Asks a connector's upstream whether it would serve a call.
        fn check_connector(name: &Name) -> ConnectorCheck;
        /// Gives dead letters another run.
        fn replay_dlq(request: &DlqRequest) -> DlqResult;
        /// Throws dead letters away.
        fn purge_dlq(request: &DlqRequest) -> DlqResult;
        /// One entry of the inbox, with its headers and payload.
        fn inbox_entry(id: InboxId) -> InboxView;
        /// Delivers an entry of the inbox again.
        fn replay_inbox_entry(id: InboxId, reason: &str) -> InboxView;
    }
}
