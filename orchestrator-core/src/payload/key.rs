//! Where an object lies. One rule: a key is made of names that were parsed and an id that we drew, never of a caller's text.

use std::fmt;

use orchestrator_types::{Environment, PayloadId, WorkspaceId};

/// All payloads of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PayloadScope {
    /// The install's environment.
    pub environment: Environment,
    /// The tenant.
    pub workspace: WorkspaceId,
}

impl PayloadScope {
    /// The key of one of them.
    #[must_use]
    pub fn key(&self, id: PayloadId) -> PayloadKey {
        PayloadKey { scope: self.clone(), id }
    }
}

impl fmt::Display for PayloadScope {
    /// `{environment}/{workspace}`: both are lower-case letters, digits and hyphens.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.environment, self.workspace)
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PayloadKey {
    /// Whose it is.
    pub scope: PayloadScope,
    /// The payload.
    pub id: PayloadId,
}

impl fmt::Display for PayloadKey {
    /// `{environment}/{workspace}/{id}`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.scope, self.id)
    }
}
