//! Service identities.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use orchestrator_types::{IdentityCreated, IdentityRequest, IdentityView, Page, ServiceName, WorkspaceId};

use super::pages::whole;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Named};
use crate::problem::Refusal;

/// List service identities
#[utoipa::path(
    get, path = "/workspaces/{ws}/identities", tag = "identities", operation_id = "list_identities",
    responses((status = 200, description = "All of them", body = Page<IdentityView>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<Json<Page<IdentityView>>, Refusal> {
    Ok(Json(whole(api.engine().identities().list(&workspace).await?)))
}

/// Make a service identity
///
/// Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/workspaces/{ws}/identities", tag = "identities", operation_id = "create_identity", request_body = IdentityRequest,
    responses((status = 201, description = "The identity and its secret", body = IdentityCreated))
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Body(request): Body<IdentityRequest>,
) -> Result<(StatusCode, Json<IdentityCreated>), Refusal> {
    let created = api.engine().identities().create(&caller.actor, &workspace, &request).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Delete a service identity
///
/// Its tokens are refused within seconds.
#[utoipa::path(
    delete, path = "/workspaces/{ws}/identities/{name}", tag = "identities", operation_id = "delete_identity",
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, name)): Named<(WorkspaceId, ServiceName)>,
) -> Result<StatusCode, Refusal> {
    api.engine().identities().delete(&caller.actor, &workspace, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
