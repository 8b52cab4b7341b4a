//! A workspace as one document.

use axum::Json;
use axum::extract::State;
use orchestrator_types::{Bundle, BundleResult, WorkspaceId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, Named, Params};
use crate::problem::Refusal;

/// Export a workspace
///
/// Without secrets: it names them only.
#[utoipa::path(
    get, path = "/workspaces/{ws}/bundle", tag = "bundles", operation_id = "export_bundle",
    responses((status = 200, description = "The workspace as one document", body = Bundle))
)]
pub(super) async fn export(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<Json<Bundle>, Refusal> {
    Ok(Json(api.engine().configs().export(&workspace).await?))
}

/// How to import.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportQuery {
    /// Only tell what would change.
    dry_run: bool,
}

/// Import a workspace
///
/// Creates it if it is absent. Importing the same again changes nothing.
#[utoipa::path(
    put, path = "/workspaces/{ws}/bundle", tag = "bundles", operation_id = "import_bundle", params(ImportQuery), request_body = Bundle,
    responses((status = 200, description = "What is, or would be, different", body = BundleResult))
)]
pub(super) async fn import(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Params(query): Params<ImportQuery>,
    Body(bundle): Body<Bundle>,
) -> Result<Json<BundleResult>, Refusal> {
    Ok(Json(api.engine().configs().import(&caller.actor, &workspace, &bundle, query.dry_run).await?))
}
