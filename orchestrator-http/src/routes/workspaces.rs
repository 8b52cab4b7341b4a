//! `/workspaces`.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use orchestrator_core::Reason;
use orchestrator_types::{Page, ReasonRequest, WorkspaceId, WorkspaceRequest, WorkspaceView};

use super::pages::PageQuery;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Named, Params};
use crate::problem::Refusal;

/// Create a workspace
///
/// With the environment's default policy as config version 1, active.
#[utoipa::path(
    post, path = "/workspaces", tag = "workspaces", operation_id = "create_workspace", request_body = WorkspaceRequest,
    responses((status = 201, description = "It is served", body = WorkspaceView))
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: ControlCaller,
    Body(request): Body<WorkspaceRequest>,
) -> Result<(StatusCode, Json<WorkspaceView>), Refusal> {
    Ok((StatusCode::CREATED, Json(api.engine().workspaces().create(&caller.actor, &request).await?)))
}

/// List workspaces
///
/// All of them for the install's administrator; for an operator those in which they hold a role.
#[utoipa::path(
    get, path = "/workspaces", tag = "workspaces", operation_id = "list_workspaces", params(PageQuery),
    responses((status = 200, description = "A page", body = Page<WorkspaceView>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: ControlCaller,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<WorkspaceView>>, Refusal> {
    let (workspaces, limit) = (api.engine().workspaces(), page.limit.get());
    if caller.actor.install_admin {
        return Ok(Json(workspaces.list(page.cursor.as_deref(), limit).await?));
    }
    // Cursors name only what the operator may see, so pages are filled from those alone.
    let mut cursor = page.cursor;
    let mut items: Vec<WorkspaceView> = Vec::new();
    loop {
        let found = workspaces.list(cursor.as_deref(), 500).await?;
        for workspace in found.items {
            if api.engine().operators().role(&workspace.name, &caller.actor.subject).await?.is_none() {
                continue;
            }
            if items.len() == limit {
                let next_cursor = items.last().map(|last| last.name.to_string());
                return Ok(Json(Page { items, next_cursor }));
            }
            items.push(workspace);
        }
        cursor = found.next_cursor;
        if cursor.is_none() {
            return Ok(Json(Page { items, next_cursor: None }));
        }
    }
}

/// Look at a workspace
#[utoipa::path(
    get, path = "/workspaces/{ws}", tag = "workspaces", operation_id = "get_workspace",
    responses((status = 200, description = "The workspace", body = WorkspaceView))
)]
pub(super) async fn get(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<Json<WorkspaceView>, Refusal> {
    Ok(Json(api.engine().workspaces().get(&workspace).await?))
}

/// Suspend a workspace
///
/// The exec API refuses it; its webhooks are still taken in.
#[utoipa::path(
    post, path = "/workspaces/{ws}/suspend", tag = "workspaces", operation_id = "suspend_workspace", request_body = ReasonRequest,
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceView))
)]
pub(super) async fn suspend(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<WorkspaceView>, Refusal> {
    let reason = Reason::new(&request.reason)?;
    Ok(Json(api.engine().workspaces().suspend(&caller.actor, &workspace, &reason).await?))
}

/// Serve a suspended workspace again
#[utoipa::path(
    post, path = "/workspaces/{ws}/resume", tag = "workspaces", operation_id = "resume_workspace", request_body = ReasonRequest,
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceView))
)]
pub(super) async fn resume(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<WorkspaceView>, Refusal> {
    let reason = Reason::new(&request.reason)?;
    Ok(Json(api.engine().workspaces().resume(&caller.actor, &workspace, &reason).await?))
}

/// Delete a workspace
///
/// Nobody can reach it any more, its routes are free, and its name is not given again.
#[utoipa::path(
    delete, path = "/workspaces/{ws}", tag = "workspaces", operation_id = "delete_workspace", request_body = ReasonRequest,
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Body(request): Body<ReasonRequest>,
) -> Result<StatusCode, Refusal> {
    let reason = Reason::new(&request.reason)?;
    api.engine().workspaces().delete(&caller.actor, &workspace, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
