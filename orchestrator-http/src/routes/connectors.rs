//! How connectors stand.

use axum::Json;
use axum::extract::State;
use orchestrator_types::{ConnectorCheck, Name, OperationView, Page, WorkspaceId};

use super::pages::whole;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::Named;
use crate::problem::Refusal;

/// List a connector's operations
///
/// Those of its kind, and those that its settings name, each with the schemas of its input and output.
#[utoipa::path(
    get, path = "/workspaces/{ws}/connectors/{name}/operations", tag = "config", operation_id = "list_operations",
    responses((status = 200, description = "All of them", body = Page<OperationView>))
)]
pub(super) async fn operations(
    State(api): State<Api>,
    Named((workspace, name)): Named<(WorkspaceId, Name)>,
) -> Result<Json<Page<OperationView>>, Refusal> {
    Ok(Json(whole(api.engine().connectors().operations(&workspace, &name).await?)))
}

/// Check a connector
///
/// Asks its upstream once, with its credentials, whether it would serve a call: beside the limits and the breaker of its
/// policy, within the policy's attempt timeout and 10 s. That it would not is told in the answer.
#[utoipa::path(
    post, path = "/workspaces/{ws}/connectors/{name}/check", tag = "config", operation_id = "check_connector",
    responses((status = 200, description = "How it stands", body = ConnectorCheck))
)]
pub(super) async fn check(
    State(api): State<Api>,
    caller: ControlCaller,
    Named((workspace, name)): Named<(WorkspaceId, Name)>,
) -> Result<Json<ConnectorCheck>, Refusal> {
    Ok(Json(api.engine().connectors().check(&workspace, &name, caller.actor.trace_id).await?))
}
