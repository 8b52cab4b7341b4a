//! What this server can connect to.

use axum::Json;
use axum::extract::State;
use orchestrator_types::{ConnectorKindView, Page};

use super::pages::whole;
use crate::api::Api;

/// List connector kinds
///
/// Settings and operations as JSON Schema, and the slots that secrets fill.
#[utoipa::path(
    get, path = "/connector-kinds", tag = "config", operation_id = "list_connector_kinds",
    responses((status = 200, description = "All of them", body = Page<ConnectorKindView>))
)]
pub(super) async fn list(State(api): State<Api>) -> Json<Page<ConnectorKindView>> {
    Json(whole(api.engine().connector_kinds()))
}
