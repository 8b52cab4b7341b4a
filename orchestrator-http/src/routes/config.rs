//! `GET /config`: the product's own documents.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use orchestrator_types::ProductConfig;

use crate::api::Api;
use crate::auth::ExecCaller;
use crate::extract::{etag, none_match};
use crate::problem::Refusal;

/// Read the product's own documents
///
/// The `settings` of the active config version.
#[utoipa::path(
    get, path = "/config", tag = "exec", operation_id = "get_product_config",
    params(("If-None-Match" = Option<String>, Header, description = "An `ETag`: if it still is, the answer is 304")),
    responses((status = 200, description = "The documents", body = ProductConfig), (status = 304, description = "As known"))
)]
pub(super) async fn product(
    State(api): State<Api>,
    caller: ExecCaller,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (config, tag) = api.engine().product_config(&caller.workspace).await?;
    if none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(&tag))]).into_response());
    }
    Ok(([(ETAG, etag(&tag))], Json(config)).into_response())
}
