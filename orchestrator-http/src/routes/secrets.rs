//! The encrypted store: write-only.

use axum::Json;
use axum::extract::State;
use orchestrator_core::secrets::{Replace, Secret};
use orchestrator_types::{Name, Page, SecretRequest, SecretStatus, SecretView, WorkspaceId};

use super::pages::whole;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Named};
use crate::problem::Refusal;

/// See how the secrets stand
///
/// Every reference of the active config, and every stored secret that none points to, each read anew.
#[utoipa::path(
    get, path = "/workspaces/{ws}/secrets", tag = "secrets", operation_id = "list_secrets",
    responses((status = 200, description = "All of them", body = Page<SecretStatus>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<Json<Page<SecretStatus>>, Refusal> {
    Ok(Json(whole(api.engine().secrets().status(&workspace).await?)))
}

/// Write a secret
///
/// The new value is the only one from now on.
#[utoipa::path(
    put, path = "/workspaces/{ws}/secrets/{name}", tag = "secrets", operation_id = "write_secret", request_body = SecretRequest,
    responses((status = 200, description = "The secret without its value", body = SecretView))
)]
pub(super) async fn write(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, name)): Named<(WorkspaceId, Name)>,
    Body(request): Body<SecretRequest>,
) -> Result<Json<SecretView>, Refusal> {
    let value = Secret::new(request.value);
    Ok(Json(api.engine().secrets().write(&caller.actor, &workspace, &name, value, Replace::AtOnce).await?))
}

/// Rotate a secret
///
/// The old value is accepted beside the new one for 24 h.
#[utoipa::path(
    post, path = "/workspaces/{ws}/secrets/{name}/rotate", tag = "secrets", operation_id = "rotate_secret", request_body = SecretRequest,
    responses((status = 200, description = "The secret without its value", body = SecretView))
)]
pub(super) async fn rotate(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, name)): Named<(WorkspaceId, Name)>,
    Body(request): Body<SecretRequest>,
) -> Result<Json<SecretView>, Refusal> {
    let value = Secret::new(request.value);
    Ok(Json(api.engine().secrets().write(&caller.actor, &workspace, &name, value, Replace::Overlapping).await?))
}
