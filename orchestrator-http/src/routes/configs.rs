//! Config versions, the pointer, rollback.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use orchestrator_core::Reason;
use orchestrator_core::config::Active;
use orchestrator_types::{
    ConfigDiff, ConfigRequest, ConfigVersion, ConfigVersionSummary, Page, PointerRequest, ReasonRequest, WorkspaceId,
};

use super::pages::PageQuery;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, IfMatch, Named, Params, etag, none_match};
use crate::problem::Refusal;

/// Look at the active config
#[utoipa::path(
    get, path = "/workspaces/{ws}/config", tag = "config", operation_id = "get_active_config",
    params(("If-None-Match" = Option<String>, Header, description = "An `ETag`: if it still is, the answer is 304")),
    responses((status = 200, description = "The active version", body = ConfigVersion), (status = 304, description = "As known"))
)]
pub(super) async fn active(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Active { version, etag: tag } = api.engine().configs().active(&workspace).await?;
    if none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(&tag))]).into_response());
    }
    Ok(tagged(StatusCode::OK, version, &tag))
}

/// List config versions
#[utoipa::path(
    get, path = "/workspaces/{ws}/configs", tag = "config", operation_id = "list_configs", params(PageQuery),
    responses((status = 200, description = "A page", body = Page<ConfigVersionSummary>))
)]
pub(super) async fn versions(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<ConfigVersionSummary>>, Refusal> {
    Ok(Json(api.engine().configs().versions(&workspace, page.cursor.as_deref(), page.limit.get()).await?))
}

/// Look at a config version
#[utoipa::path(
    get, path = "/workspaces/{ws}/configs/{version}", tag = "config", operation_id = "get_config",
    responses((status = 200, description = "The version", body = ConfigVersion))
)]
pub(super) async fn version(
    State(api): State<Api>,
    Named((workspace, version)): Named<(WorkspaceId, u32)>,
) -> Result<Json<ConfigVersion>, Refusal> {
    Ok(Json(api.engine().configs().version(&workspace, version).await?))
}

/// Compare two config versions
#[utoipa::path(
    get, path = "/workspaces/{ws}/configs/{from}/diff/{to}", tag = "config", operation_id = "diff_configs",
    responses((status = 200, description = "Each difference", body = ConfigDiff))
)]
pub(super) async fn diff(
    State(api): State<Api>,
    Named((workspace, from, to)): Named<(WorkspaceId, u32, u32)>,
) -> Result<Json<ConfigDiff>, Refusal> {
    Ok(Json(api.engine().configs().diff(&workspace, from, to).await?))
}

/// Make a config version
///
/// The whole document is checked. The same content makes no version. Unless `activate` is `false` it is live when this
/// answers.
#[utoipa::path(
    post, path = "/workspaces/{ws}/configs", tag = "config", operation_id = "create_config", request_body = ConfigRequest,
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of the config that the change is made on"), ("Take-Routes" = Option<bool>, Header, description = "`true`: the install's administrator takes routes that another workspace holds")),
    responses(
        (status = 201, description = "The new version", body = ConfigVersion),
        (status = 200, description = "The version that has this content already", body = ConfigVersion),
    )
)]
pub(super) async fn add(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    IfMatch(tag): IfMatch,
    Body(request): Body<ConfigRequest>,
) -> Result<Response, Refusal> {
    let saved = api.engine().configs().add(&caller.actor, &workspace, request, tag.as_deref()).await?;
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(tagged(status, saved.version, &saved.etag))
}

/// Activate a config version
#[utoipa::path(
    put, path = "/workspaces/{ws}/config-pointer", tag = "config", operation_id = "activate_config", request_body = PointerRequest,
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of the config that is to be replaced"), ("Take-Routes" = Option<bool>, Header, description = "`true`: the install's administrator takes routes that another workspace holds")),
    responses((status = 200, description = "The version that is active now", body = ConfigVersion))
)]
pub(super) async fn point(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    IfMatch(tag): IfMatch,
    Body(request): Body<PointerRequest>,
) -> Result<Response, Refusal> {
    let reason = Reason::new(&request.reason)?;
    let configs = api.engine().configs();
    let active = configs.activate(&caller.actor, &workspace, request.version, &reason, tag.as_deref()).await?;
    Ok(tagged(StatusCode::OK, active.version, &active.etag))
}

/// Roll the config back
///
/// To the version that was active before the active one.
#[utoipa::path(
    post, path = "/workspaces/{ws}/rollback", tag = "config", operation_id = "rollback_config", request_body = ReasonRequest,
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of the config that is to be replaced"), ("Take-Routes" = Option<bool>, Header, description = "`true`: the install's administrator takes routes that another workspace holds")),
    responses((status = 200, description = "The version that is active now", body = ConfigVersion))
)]
pub(super) async fn rollback(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    IfMatch(tag): IfMatch,
    Body(request): Body<ReasonRequest>,
) -> Result<Response, Refusal> {
    let reason = Reason::new(&request.reason)?;
    let active = api.engine().configs().rollback(&caller.actor, &workspace, &reason, tag.as_deref()).await?;
    Ok(tagged(StatusCode::OK, active.version, &active.etag))
}

/// A version with the `ETag` of the active config.
pub(super) fn tagged(status: StatusCode, version: ConfigVersion, tag: &str) -> Response {
    (status, [(ETAG, etag(tag))], Json(version)).into_response()
}
