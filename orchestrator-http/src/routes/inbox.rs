//! The webhook inbox.

use axum::Json;
use axum::extract::State;
use orchestrator_core::Reason;
use orchestrator_types::{InboxId, InboxView, Page, ReasonRequest, WorkspaceId};

use super::pages::PageQuery;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Named, Params};
use crate::problem::Refusal;

/// List inbox entries
///
/// The newest first, without headers and bodies.
#[utoipa::path(
    get, path = "/workspaces/{ws}/inbox", tag = "inbox", operation_id = "list_inbox", params(PageQuery),
    responses((status = 200, description = "A page", body = Page<InboxView>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<InboxView>>, Refusal> {
    Ok(Json(api.engine().inbox().list(&workspace, page.cursor.as_deref(), page.limit.get()).await?))
}

/// Look at an inbox entry
///
/// With its headers, that of the signature redacted, and its body.
#[utoipa::path(
    get, path = "/workspaces/{ws}/inbox/{id}", tag = "inbox", operation_id = "get_inbox_entry",
    responses((status = 200, description = "The entry", body = InboxView))
)]
pub(super) async fn get(
    State(api): State<Api>,
    Named((workspace, id)): Named<(WorkspaceId, InboxId)>,
) -> Result<Json<InboxView>, Refusal> {
    Ok(Json(api.engine().inbox().get(&workspace, id).await?))
}

/// Deliver an inbox entry again
#[utoipa::path(
    post, path = "/workspaces/{ws}/inbox/{id}/replay", tag = "inbox", operation_id = "replay_inbox_entry", request_body = ReasonRequest,
    responses((status = 200, description = "The entry as it is now", body = InboxView))
)]
pub(super) async fn replay(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, id)): Named<(WorkspaceId, InboxId)>,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<InboxView>, Refusal> {
    let reason = Reason::new(&request.reason)?;
    Ok(Json(api.engine().inbox().replay(&caller.actor, &workspace, id, &reason).await?))
}
