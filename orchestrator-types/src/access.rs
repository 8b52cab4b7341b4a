//! Who may call: scopes, roles, identities, tokens.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::ServiceName;
use crate::time::Timestamp;

/// The scopes and audiences of tokens.
pub mod scope {
    /// The audience of the exec API.
    pub const AUDIENCE_EXEC: &str = "orchestrator-exec";
    /// The audience of the control API.
    pub const AUDIENCE_CONTROL: &str = "orchestrator-control";
    /// `POST /execute`.
    pub const EXECUTE: &str = "orchestrator.execute";
    /// `POST /jobs`, and cancelling.
    pub const JOBS_WRITE: &str = "orchestrator.jobs.write";
    /// `GET /jobs`; implies [`EVENTS_READ`].
    pub const JOBS_READ: &str = "orchestrator.jobs.read";
    /// `GET /events`.
    pub const EVENTS_READ: &str = "orchestrator.events.read";
    /// The install's administrator: every workspace.
    pub const ADMIN: &str = "orchestrator.admin";
    /// An operator, whose role in the workspace decides.
    pub const OPERATOR: &str = "orchestrator.operator";
    /// Every scope that a service identity may be given.
    pub const EXEC: [&str; 4] = [EXECUTE, JOBS_WRITE, JOBS_READ, EVENTS_READ];
}

/// What an operator may do in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Change everything.
    Admin,
    /// Read, and replay dead letters.
    Support,
    /// Read.
    ReadOnly,
    /// Change, while an emergency grant is open.
    BreakGlass,
}

/// `PUT /workspaces/{ws}/operators/{sub}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorRequest {
    /// The role.
    pub role: Role,
}

/// An operator of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorView {
    /// The subject of their tokens.
    pub sub: String,
    /// Their role.
    pub role: Role,
    /// Since when.
    pub updated_at: Timestamp,
}

/// `POST /workspaces/{ws}/identities`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityRequest {
    /// `svc:<name>`.
    pub name: ServiceName,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// A public key (JWK) for `private_key_jwt`; without one a client secret is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Value>,
}

/// A service identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityView {
    /// `svc:<name>`.
    pub name: ServiceName,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// What it calls itself at the token endpoint.
    pub client_id: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// A new service identity, and its secret: shown here and never again.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityCreated {
    /// `svc:<name>`.
    pub name: ServiceName,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// What it calls itself at the token endpoint.
    pub client_id: String,
    /// Its secret; absent if it has a public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
}

impl std::fmt::Debug for IdentityCreated {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("IdentityCreated")
            .field("name", &self.name)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// `POST /oauth/token` (form encoded).
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenRequest {
    /// `client_credentials`.
    pub grant_type: String,
    /// The identity's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The identity's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Scopes, space-separated: a part of the identity's; all of them if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_assertion_type: Option<String>,
    /// A JWT signed by the identity's key (RFC 7523).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_assertion: Option<String>,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TokenRequest").field("grant_type", &self.grant_type).finish_non_exhaustive()
    }
}

/// The answer of the token endpoint.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenResponse {
    /// The token.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// What it may do.
    pub scope: String,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
