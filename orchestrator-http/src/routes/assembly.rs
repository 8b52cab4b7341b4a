//! Routes, their document and their layers, put together.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::{
    audit, bundle, config, configs, connector_kinds, connectors, dlq, docs, document, events, execute, identities,
    inbox, jobs, operators, ops, payloads, requests, resources, secrets, token, webhooks, workspaces,
};
use crate::api::{Api, ApiLimits};
use crate::auth::authorize;
use crate::edge::{Outermost, outermost};
use crate::extract::BodyLimit;

/// Everything on one listener: exec, ingress, tokens, control and the documentation.
pub fn router(api: &Api) -> Router {
    finished(api, api_routes(api.limits()).merge(control_routes()))
}

/// The exec API, the ingress, tokens and the documentation.
pub fn api_router(api: &Api) -> Router {
    finished(api, api_routes(api.limits()))
}

/// The control API, for a listener of its own.
pub fn control_router(api: &Api) -> Router {
    finished(api, control_routes())
}

/// Health and metrics, for a listener of their own.
pub fn ops_router(api: &Api) -> Router {
    let routes = Router::new()
        .route("/healthz", get(ops::alive))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .with_state(api.clone());
    outermost(routes, Outermost { metrics: api.metrics().clone() })
}

/// The OpenAPI document of every route.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, mut document) = api_routes(&ApiLimits::default()).merge(control_routes()).split_for_parts();
    document::complete(&mut document);
    document
}

fn finished(api: &Api, routes: OpenApiRouter<Api>) -> Router {
    let (router, mut document) = routes.split_for_parts();
    document::complete(&mut document);
    let router = router
        .route_layer(from_fn_with_state(api.clone(), authorize))
        .layer(from_fn_with_state(BodyLimit(api.limits().body_bytes), limit_body))
        .with_state(api.clone())
        .merge(docs::routes(document));
    outermost(router, Outermost { metrics: api.metrics().clone() })
}

fn api_routes(limits: &ApiLimits) -> OpenApiRouter<Api> {
    let ingress = from_fn_with_state(BodyLimit(limits.ingress_bytes), limit_body);
    let batch = from_fn_with_state(BodyLimit(limits.batch_bytes), limit_body);
    let form = from_fn_with_state(BodyLimit(FORM_BYTES), limit_body);
    OpenApiRouter::with_openapi(document::blank())
        .routes(routes!(execute::execute))
        .routes(routes!(execute::execution))
        .routes(routes!(config::product))
        .routes(routes!(jobs::submit, jobs::jobs))
        .routes(routes!(jobs::submit_batch).layer(batch))
        .routes(routes!(jobs::job))
        .routes(routes!(jobs::cancel))
        .routes(routes!(events::events))
        .routes(routes!(payloads::upload))
        .routes(routes!(payloads::payload))
        .routes(routes!(webhooks::by_account).layer(ingress.clone()))
        .routes(routes!(webhooks::by_route).layer(ingress))
        .routes(routes!(bundle::schema))
        .routes(routes!(token::token).layer(form))
        .routes(routes!(token::keys))
}

fn control_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document::blank())
        .routes(routes!(workspaces::create, workspaces::list))
        .routes(routes!(workspaces::get, workspaces::delete))
        .routes(routes!(workspaces::suspend))
        .routes(routes!(workspaces::resume))
        .routes(routes!(configs::active))
        .routes(routes!(configs::versions, configs::add))
        .routes(routes!(configs::version))
        .routes(routes!(configs::diff))
        .routes(routes!(configs::point))
        .routes(routes!(configs::rollback))
        .routes(routes!(resources::policy::put, resources::policy::delete))
        .routes(routes!(resources::connector::put, resources::connector::delete))
        .routes(routes!(connectors::operations))
        .routes(routes!(connectors::check))
        .routes(routes!(resources::secret_ref::put, resources::secret_ref::delete))
        .routes(routes!(resources::callback::put, resources::callback::delete))
        .routes(routes!(resources::webhook_route::put, resources::webhook_route::delete))
        .routes(routes!(bundle::export, bundle::import))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::write))
        .routes(routes!(secrets::rotate))
        .routes(routes!(secrets::keys))
        .routes(routes!(secrets::rotate_kek))
        .routes(routes!(operators::list))
        .routes(routes!(operators::get, operators::put, operators::delete))
        .routes(routes!(identities::list, identities::create))
        .routes(routes!(identities::delete))
        .routes(routes!(dlq::list))
        .routes(routes!(dlq::replay))
        .routes(routes!(dlq::purge))
        .routes(routes!(audit::of_workspace))
        .routes(routes!(audit::verify_workspace))
        .routes(routes!(audit::of_install))
        .routes(routes!(audit::verify_install))
        .routes(routes!(requests::list))
        .routes(routes!(inbox::list))
        .routes(routes!(inbox::get))
        .routes(routes!(inbox::replay))
        .routes(routes!(connector_kinds::list))
}

/// A token request is short.
const FORM_BYTES: usize = 16 * 1024;

/// Says how large a body may be; layers further in say it last.
async fn limit_body(State(limit): State<BodyLimit>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(limit);
    next.run(request).await
}
