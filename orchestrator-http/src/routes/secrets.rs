//! The encrypted store, write-only, and the install's keys that it hangs on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use orchestrator_core::Reason;
use orchestrator_core::secrets::{Replace, Secret};
use orchestrator_types::{
    InstallKeysView, KeyRotationView, Name, Page, RotateKekRequest, RotateSecretRequest, SecretRequest, SecretStatus,
    SecretView, WorkspaceId,
};

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
/// The old value is accepted beside the new one for 24 h, or for as long as is said.
#[utoipa::path(
    post, path = "/workspaces/{ws}/secrets/{name}/rotate", tag = "secrets", operation_id = "rotate_secret", request_body = RotateSecretRequest,
    responses((status = 200, description = "The secret without its value", body = SecretView))
)]
pub(super) async fn rotate(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, name)): Named<(WorkspaceId, Name)>,
    Body(request): Body<RotateSecretRequest>,
) -> Result<Json<SecretView>, Refusal> {
    let value = Secret::new(request.value);
    let replace = match request.overlap_s {
        Some(seconds) => Replace::OverlappingFor(Duration::from_secs(seconds)),
        None => Replace::Overlapping,
    };
    Ok(Json(api.engine().secrets().write(&caller.actor, &workspace, &name, value, replace).await?))
}

/// See which key of the install seals how much
///
/// The keys that this node has, those that something is sealed by and that it lacks, and how the last rotation went.
#[utoipa::path(
    get, path = "/secrets/keys", tag = "secrets", operation_id = "list_install_keys",
    responses((status = 200, description = "The keys by their names, which tell nothing of them", body = InstallKeysView))
)]
pub(super) async fn keys(State(api): State<Api>) -> Result<Json<InstallKeysView>, Refusal> {
    Ok(Json(api.engine().keys().view().await?))
}

/// Rotate the install's key
///
/// What other keys sealed is sealed again by the new one while everything runs: `GET /secrets/keys` tells how far it is.
/// Nothing is sealed by a key that a node lacks. The old key stays in the key file until it is taken out there.
#[utoipa::path(
    post, path = "/secrets/rotate-kek", tag = "secrets", operation_id = "rotate_install_key", request_body = RotateKekRequest,
    responses((status = 202, description = "It has begun", body = KeyRotationView))
)]
pub(super) async fn rotate_kek(
    State(api): State<Api>,
    caller: ControlCaller,
    Body(request): Body<RotateKekRequest>,
) -> Result<(StatusCode, Json<KeyRotationView>), Refusal> {
    let reason = Reason::new(&request.reason)?;
    let begun = api.engine().keys().rotate(&caller.actor, &reason, request.generate).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}
