//! The audit trail: of a workspace, and of the install.

use axum::Json;
use axum::extract::State;
use orchestrator_types::{AuditRecord, AuditVerification, Page, WorkspaceId};

use super::pages::PageQuery;
use crate::api::Api;
use crate::extract::{Named, Params};
use crate::problem::Refusal;

/// Read a workspace's audit trail
#[utoipa::path(
    get, path = "/workspaces/{ws}/audit", tag = "audit", operation_id = "list_audit", params(PageQuery),
    responses((status = 200, description = "A page", body = Page<AuditRecord>))
)]
pub(super) async fn of_workspace(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<AuditRecord>>, Refusal> {
    Ok(Json(api.engine().audit().list(Some(&workspace), page.cursor.as_deref(), page.limit.get()).await?))
}

/// Verify a workspace's audit trail
///
/// Walks the whole chain. Compare the head with what was logged, to see that the tail was not cut.
#[utoipa::path(
    get, path = "/workspaces/{ws}/audit/verify", tag = "audit", operation_id = "verify_audit",
    responses((status = 200, description = "What was found", body = AuditVerification))
)]
pub(super) async fn verify_workspace(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
) -> Result<Json<AuditVerification>, Refusal> {
    Ok(Json(api.engine().audit().verify(Some(&workspace)).await?))
}

/// Read the install's own audit trail
#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "list_install_audit", params(PageQuery),
    responses((status = 200, description = "A page", body = Page<AuditRecord>))
)]
pub(super) async fn of_install(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<AuditRecord>>, Refusal> {
    Ok(Json(api.engine().audit().list(None, page.cursor.as_deref(), page.limit.get()).await?))
}

/// Verify the install's own audit trail
#[utoipa::path(
    get, path = "/audit/verify", tag = "audit", operation_id = "verify_install_audit",
    responses((status = 200, description = "What was found", body = AuditVerification))
)]
pub(super) async fn verify_install(State(api): State<Api>) -> Result<Json<AuditVerification>, Refusal> {
    Ok(Json(api.engine().audit().verify(None).await?))
}
