//! One part of a config, set or removed by name: a new version with that one change, activated.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use orchestrator_core::config::ResourceKind;
use orchestrator_types::{
    CallbackConfig, ConfigVersion, ConnectorConfig, Name, Policy, SecretRef, WebhookRouteConfig, WorkspaceId,
};
use serde_json::Value;

use super::configs::tagged;
use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{Body, IfMatch, Named};
use crate::problem::Refusal;

macro_rules! resource {
    ($module:ident, $path:literal, $kind:expr, $document:ty, $what:literal) => {
        pub(super) mod $module {
            use super::*;

            #[utoipa::path(
                put, path = $path, tag = "config", request_body = $document,
                operation_id = concat!("put_", stringify!($module)),
                summary = concat!("Set ", $what),
                description = "A new config version with that one change, activated.",
                params(("If-Match" = Option<String>, Header, description = "The `ETag` of the config that the change is made on"), ("Take-Routes" = Option<bool>, Header, description = "`true`: the install's administrator takes routes that another workspace holds")),
                responses((status = 200, description = "The version that is active now", body = ConfigVersion))
            )]
            pub(in super::super) async fn put(
                State(api): State<Api>,
                caller: ControlCaller,
                Named((workspace, name)): Named<(WorkspaceId, Name)>,
                IfMatch(tag): IfMatch,
                Body(document): Body<Value>,
            ) -> Result<Response, Refusal> {
                let configs = api.engine().configs();
                let saved =
                    configs.put(&caller.actor, &workspace, $kind, &name, document, tag.as_deref()).await?;
                Ok(tagged(StatusCode::OK, saved.version, &saved.etag))
            }

            #[utoipa::path(
                delete, path = $path, tag = "config",
                operation_id = concat!("delete_", stringify!($module)),
                summary = concat!("Remove ", $what),
                description = "A new config version without it, activated.",
                params(("If-Match" = Option<String>, Header, description = "The `ETag` of the config that the change is made on"), ("Take-Routes" = Option<bool>, Header, description = "`true`: the install's administrator takes routes that another workspace holds")),
                responses((status = 200, description = "The version that is active now", body = ConfigVersion))
            )]
            pub(in super::super) async fn delete(
                State(api): State<Api>,
                caller: ControlCaller,
                Named((workspace, name)): Named<(WorkspaceId, Name)>,
                IfMatch(tag): IfMatch,
            ) -> Result<Response, Refusal> {
                let configs = api.engine().configs();
                let saved = configs.remove(&caller.actor, &workspace, $kind, &name, tag.as_deref()).await?;
                Ok(tagged(StatusCode::OK, saved.version, &saved.etag))
            }
        }
    };
}

resource!(policy, "/workspaces/{ws}/policies/{name}", ResourceKind::Policy, Policy, "a policy");
resource!(connector, "/workspaces/{ws}/connectors/{name}", ResourceKind::Connector, ConnectorConfig, "a connector");
resource!(secret_ref, "/workspaces/{ws}/secret-refs/{name}", ResourceKind::SecretRef, SecretRef, "a secret reference");
resource!(callback, "/workspaces/{ws}/callbacks/{name}", ResourceKind::Callback, CallbackConfig, "a callback");
resource!(
    webhook_route,
    "/workspaces/{ws}/webhook-routes/{name}",
    ResourceKind::WebhookRoute,
    WebhookRouteConfig,
    "a webhook route"
);
