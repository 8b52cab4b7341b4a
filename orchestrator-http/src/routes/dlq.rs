//! Dead letters.

use axum::Json;
use axum::extract::State;
use orchestrator_types::{DeadLetter, DlqFilter, DlqRequest, DlqResult, Name, Page, Timestamp, WorkspaceId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Limit, Named, Params};
use crate::problem::Refusal;

/// Which dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct DlqQuery {
    /// Of this connector.
    connector: Option<Name>,
    /// Of this callback.
    callback: Option<Name>,
    /// Dead before this time.
    died_before: Option<Timestamp>,
    /// Dead after this time.
    died_after: Option<Timestamp>,
    /// How many items: 1 to 500.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List dead letters
///
/// The newest first.
#[utoipa::path(
    get, path = "/workspaces/{ws}/dlq", tag = "dlq", operation_id = "list_dead_letters", params(DlqQuery),
    responses((status = 200, description = "A page", body = Page<DeadLetter>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    Params(query): Params<DlqQuery>,
) -> Result<Json<Page<DeadLetter>>, Refusal> {
    let DlqQuery { connector, callback, died_before, died_after, limit, cursor } = query;
    let filter = DlqFilter { connector, callback, died_before, died_after };
    Ok(Json(api.engine().dead_letters().list(&workspace, &filter, cursor.as_deref(), limit.get()).await?))
}

/// Replay dead letters
///
/// By their ids or by a filter; paced at the workspace's own limits.
#[utoipa::path(
    post, path = "/workspaces/{ws}/dlq/replay", tag = "dlq", operation_id = "replay_dead_letters", request_body = DlqRequest,
    responses((status = 200, description = "What was replayed", body = DlqResult))
)]
pub(super) async fn replay(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Body(request): Body<DlqRequest>,
) -> Result<Json<DlqResult>, Refusal> {
    Ok(Json(api.engine().dead_letters().replay(&caller.actor, &workspace, &request).await?))
}

/// Purge dead letters
///
/// For good.
#[utoipa::path(
    post, path = "/workspaces/{ws}/dlq/purge", tag = "dlq", operation_id = "purge_dead_letters", request_body = DlqRequest,
    responses((status = 200, description = "What was purged", body = DlqResult))
)]
pub(super) async fn purge(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Body(request): Body<DlqRequest>,
) -> Result<Json<DlqResult>, Refusal> {
    Ok(Json(api.engine().dead_letters().purge(&caller.actor, &workspace, &request).await?))
}
