//! A workspace as one document, in JSON or YAML.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use orchestrator_core::config::bundle::{Import, Syntax, bundle_schema_text, read_bundle, rename_bundle};
use orchestrator_types::{Bundle, BundleResult, FieldError, WorkspaceId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::auth::ControlCaller;
use crate::extract::{IfMatch, Named, Params, Raw, etag};
use crate::problem::Refusal;

const YAML: &str = "application/yaml";

/// Export a workspace
///
/// Without secrets: it names them only. In YAML if `Accept` asks for `application/yaml`; always in the same order.
#[utoipa::path(
    get, path = "/workspaces/{ws}/bundle", tag = "bundles", operation_id = "export_bundle",
    responses((status = 200, description = "The workspace as one document", body = Bundle))
)]
pub(super) async fn export(
    State(api): State<Api>,
    Named(workspace): Named<WorkspaceId>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (bundle, tag) = api.engine().configs().export_with_etag(&workspace).await?;
    let mut response = if wants_yaml(&headers) {
        ([(CONTENT_TYPE, YAML)], Syntax::Yaml.write(&bundle)?).into_response()
    } else {
        Json(bundle).into_response()
    };
    response.headers_mut().insert(ETAG, etag(&tag));
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// How to import.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportQuery {
    /// Only tell what would change.
    dry_run: bool,
    /// Take a bundle of another workspace: its name, and the variables of its `env` secrets, become those of this one.
    rename: bool,
}

/// Import a workspace
///
/// The bundle may also come as `application/yaml`. Creates the workspace if it is absent. Importing the same again changes nothing. With `If-Match`, only if the active config is the
/// one that the change was planned on.
#[utoipa::path(
    put, path = "/workspaces/{ws}/bundle", tag = "bundles", operation_id = "import_bundle",
    params(ImportQuery, ("If-Match" = Option<String>, Header, description = "The `ETag` of the config that the change was planned on")),
    request_body = Bundle,
    responses((status = 200, description = "What is, or would be, different", body = BundleResult))
)]
pub(super) async fn import(
    State(api): State<Api>,
    caller: ControlCaller,
    Named(workspace): Named<WorkspaceId>,
    Params(query): Params<ImportQuery>,
    IfMatch(if_match): IfMatch,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    let document = syntax(&headers)?.read(&body).map_err(|problem| Refusal::invalid("", "").errors(vec![problem]))?;
    let read = read_bundle(document)?;
    let mut bundle = read.bundle;
    let renamed = if query.rename { rename_bundle(&mut bundle, &workspace) } else { Default::default() };
    let import = Import { dry_run: query.dry_run, if_match: if_match.as_deref() };
    let imported = api.engine().configs().import_on(&caller.actor, &workspace, &bundle, import).await?;
    let mut result = imported.result;
    result.renamed = renamed.changes;
    result.warnings.extend(renamed.warnings);
    result.warnings.extend(read.former_format.map(|format| {
        FieldError::new(
            "/format",
            format!("a bundle of format {format}: export it again to have it in the present one"),
        )
    }));
    let mut response = Json(result).into_response();
    if let Some(tag) = imported.etag {
        response.headers_mut().insert(ETAG, etag(&tag));
    }
    Ok(response)
}

/// The JSON Schema of bundles
///
/// For editors, and for checks before anything is sent.
#[utoipa::path(
    get, path = "/schemas/bundle.json", tag = "bundles", operation_id = "bundle_schema",
    responses((status = 200, description = "JSON Schema 2020-12", body = Value, content_type = "application/schema+json"))
)]
pub(super) async fn schema() -> Response {
    ([(CONTENT_TYPE, "application/schema+json")], bundle_schema_text()).into_response()
}

/// Whether YAML is named in `Accept` before JSON, or without it.
fn wants_yaml(headers: &HeaderMap) -> bool {
    let wanted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = wanted.flat_map(|value| value.split(',')).filter_map(kind);
    kinds.next() == Some(Syntax::Yaml)
}

fn syntax(headers: &HeaderMap) -> Result<Syntax, Refusal> {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (one, more) = (all.next(), all.next());
    let known = one.filter(|_| more.is_none()).and_then(|value| kind(value.to_str().ok()?));
    known.ok_or_else(|| {
        let detail = "the body must be `application/json` or `application/yaml`, in UTF-8";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    })
}

/// What a media type says that a bundle is written in.
fn kind(text: &str) -> Option<Syntax> {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let name = parts.next()?;
    let utf8 = parts.all(|part| !part.starts_with("charset=") || part.trim_matches('"').ends_with("utf-8"));
    match name.as_str() {
        _ if !utf8 => None,
        "application/json" => Some(Syntax::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Some(Syntax::Yaml),
        other if other.ends_with("+json") => Some(Syntax::Json),
        other if other.ends_with("+yaml") => Some(Syntax::Yaml),
        _ => None,
    }
}
