//! The request log.

use axum::Json;
use axum::extract::State;
use orchestrator_types::{Page, RequestView, WorkspaceId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::extract::{Limit, Named, Params};
use crate::problem::Refusal;

/// Which records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RequestsQuery {
    /// About this execution or job.
    subject: Option<String>,
    /// How many items: 1 to 500.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Read the request log
///
/// Calls through connectors and to callbacks, the newest first.
#[utoipa::path(
    get, path = "/workspaces/{ws}/requests", tag = "requests", operation_id = "list_requests", params(RequestsQuery),
    responses((status = 200, description = "A page", body = Page<RequestView>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    Params(query): Params<RequestsQuery>,
) -> Result<Json<Page<RequestView>>, Refusal> {
    let RequestsQuery { subject, limit, cursor } = query;
    let executions = api.engine().executions();
    Ok(Json(executions.requests(&workspace, subject.as_deref(), cursor.as_deref(), limit.get()).await?))
}
