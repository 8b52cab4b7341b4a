//! `/openapi.json` and the documentation page at `/docs`, whole without a network.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

const DOCUMENT: &str = "/openapi.json";

/// The page needs its own styles and images in line, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The document and its page.
pub(super) fn routes(document: OpenApi) -> Router {
    let page: Router = SwaggerUi::new("/docs").config(Config::from(DOCUMENT)).into();
    let page = page.layer(from_fn(async |request: Request, next: Next| -> Response {
        let mut response = next.run(request).await;
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }));
    Router::new().route(DOCUMENT, get(async move || Json(document.clone()))).merge(page)
}
