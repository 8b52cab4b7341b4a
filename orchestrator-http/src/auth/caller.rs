//! Who called, as handlers see it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use orchestrator_core::Actor;
use orchestrator_types::{Role, TraceId, WorkspaceId};

use crate::edge::RequestTrace;
use crate::problem::Refusal;
use crate::tokens::Claims;

/// A service of a product: its token is good, its scope suffices, its workspace is served.
#[derive(Debug, Clone)]
pub struct ExecCaller {
    /// The workspace that everything is read from and written to.
    pub workspace: WorkspaceId,
    /// What its token says.
    pub claims: Arc<Claims>,
    /// The trace of the request.
    pub trace_id: TraceId,
}

/// An operator or the install's administrator: the token is good, and the role suffices.
#[derive(Debug, Clone)]
pub struct ControlCaller {
    /// Who, for the audit trail.
    pub actor: Actor,
    /// The role in the workspace of the path; absent for the install's administrator, and on paths without a workspace.
    pub role: Option<Role>,
}

// Both are put into the request by the one layer that decides; a route without that layer has a fault of ours.
impl<S: Send + Sync> FromRequestParts<S> for ExecCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::internal)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ControlCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::internal)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestTrace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().copied().ok_or_else(Refusal::internal)
    }
}
