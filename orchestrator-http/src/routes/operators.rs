//! Operators and their roles.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use orchestrator_types::{OperatorRequest, OperatorView, Page, WorkspaceId};

use super::pages::whole;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Named};
use crate::problem::Refusal;

/// List operators
#[utoipa::path(
    get, path = "/workspaces/{ws}/operators", tag = "operators", operation_id = "list_operators",
    responses((status = 200, description = "All of them", body = Page<OperatorView>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<Json<Page<OperatorView>>, Refusal> {
    Ok(Json(whole(api.engine().operators().list(&workspace).await?)))
}

/// Look at an operator
#[utoipa::path(
    get, path = "/workspaces/{ws}/operators/{sub}", tag = "operators", operation_id = "get_operator",
    responses((status = 200, description = "The operator", body = OperatorView))
)]
pub(super) async fn get(
    State(api): State<Api>,
    Named((workspace, sub)): Named<(WorkspaceId, String)>,
) -> Result<Json<OperatorView>, Refusal> {
    Ok(Json(api.engine().operators().get(&workspace, &sub).await?))
}

/// Give an operator a role
#[utoipa::path(
    put, path = "/workspaces/{ws}/operators/{sub}", tag = "operators", operation_id = "put_operator", request_body = OperatorRequest,
    responses((status = 200, description = "The operator as it is now", body = OperatorView))
)]
pub(super) async fn put(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, sub)): Named<(WorkspaceId, String)>,
    Body(request): Body<OperatorRequest>,
) -> Result<Json<OperatorView>, Refusal> {
    Ok(Json(api.engine().operators().put(&caller.actor, &workspace, &sub, request.role).await?))
}

/// Take an operator's role
#[utoipa::path(
    delete, path = "/workspaces/{ws}/operators/{sub}", tag = "operators", operation_id = "delete_operator",
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, sub)): Named<(WorkspaceId, String)>,
) -> Result<StatusCode, Refusal> {
    api.engine().operators().delete(&caller.actor, &workspace, &sub).await?;
    Ok(StatusCode::NO_CONTENT)
}
