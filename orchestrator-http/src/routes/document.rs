//! What every operation of the OpenAPI document has in common, added in one place so that it does not drift: the
//! problem document, who may call, the parts of its path.

use http::Method;
use orchestrator_types::{FieldError, Problem, UpstreamView};
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required,
    Response, ResponseBuilder,
};

use crate::auth::{Requirement, requirement};
use crate::problem::PROBLEM_JSON;

const BEARER: &str = "bearer";

/// What the parts of paths are.
const PARTS: [(&str, &str); 10] = [
    ("ws", "The workspace"),
    ("id", "Its id"),
    ("name", "Its name"),
    ("sub", "The subject of the operator's tokens"),
    ("version", "The number of the config version"),
    ("from", "From this config version"),
    ("to", "to this one"),
    ("provider", "`stripe`, `github`, `shopify`, `slack`, `standard-webhooks`, `hmac`, `paddle`, `adyen`"),
    ("route_key", "The route's key"),
    ("kind", "Its kind"),
];

/// The beginning of the document.
pub(super) fn blank() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Orchestrator")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Calls, durable jobs, webhooks and callbacks between a company's products and the outside world. Errors \
             are problem documents (RFC 9457), whose `code` is stable.",
        ))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// Adds what every operation has in common.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    for (name, schema) in [
        (Problem::name(), Problem::schema()),
        (FieldError::name(), FieldError::schema()),
        (UpstreamView::name(), UpstreamView::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            finish(operation, &method, path);
        }
    }
}

/// The operations of a path with their methods.
pub(super) fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let all = [
        (Method::GET, item.get.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
        (Method::PATCH, item.patch.as_mut()),
        (Method::HEAD, item.head.as_mut()),
        (Method::OPTIONS, item.options.as_mut()),
        (Method::TRACE, item.trace.as_mut()),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation?))).collect()
}

fn finish(operation: &mut Operation, method: &Method, path: &str) {
    let asked = requirement(method, path);
    let public = asked == Some(Requirement::Public);
    let responses = &mut operation.responses.responses;
    if !public {
        operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
        responses.insert("401".to_owned(), RefOr::T(problem("No token, or none that is good")));
        responses.insert("403".to_owned(), RefOr::T(problem("The token's scope or role does not allow this")));
    }
    responses.insert("default".to_owned(), RefOr::T(problem("What went wrong")));
    if let Some(who) = asked.and_then(who) {
        let description = operation.description.take().filter(|text| !text.is_empty());
        operation.description = Some(description.map_or_else(|| who.clone(), |text| format!("{text}\n\n{who}")));
    }
    for content in contents(operation) {
        content.schema = Some(bytes().into());
    }
    let parameters = operation.parameters.get_or_insert_default();
    for parameter in parameters.iter_mut().filter_map(own) {
        absent_or_a_value(parameter);
    }
    for name in path.split(['{', '}']).skip(1).step_by(2) {
        parameters.push(RefOr::T(part(name)));
    }
}

/// Where bytes travel as they are. Generators know them by their format, not by what a list of numbers in JSON would be.
fn contents(operation: &mut Operation) -> impl Iterator<Item = &mut Content> {
    const BYTES: &str = "application/octet-stream";
    let asked = operation.request_body.iter_mut().filter_map(own);
    let answered = operation.responses.responses.values_mut().filter_map(own);
    let asked = asked.filter_map(|body| body.content.get_mut(BYTES));
    asked.chain(answered.filter_map(|response| response.content.get_mut(BYTES))).filter_map(own)
}

fn bytes() -> Schema {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
}

/// No header or query says `null`: what is not required is left out.
fn absent_or_a_value(parameter: &mut Parameter) {
    if let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
        && let SchemaType::Array(types) = &mut object.schema_type
    {
        types.retain(|each| *each != Type::Null);
        if let [only] = &types[..] {
            object.schema_type = SchemaType::Type(only.clone());
        }
    }
}

fn own<T>(described: &mut RefOr<T>) -> Option<&mut T> {
    match described {
        RefOr::T(own) => Some(own),
        RefOr::Ref(_) => None,
    }
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

fn who(asked: Requirement) -> Option<String> {
    Some(match asked {
        Requirement::Public => return None,
        Requirement::Exec(scopes) => format!("Needs a token of the exec API with `{}`.", scopes.join("` or `")),
        Requirement::Control => "Needs a token of the control API.".to_owned(),
        Requirement::InstallAdmin => "Needs `orchestrator.admin`.".to_owned(),
        Requirement::Role(need) => {
            format!("Needs `orchestrator.admin`, or a role in the workspace that may {}.", need.verb())
        }
    })
}

fn part(name: &str) -> Parameter {
    let description = PARTS.into_iter().find(|(known, _)| *known == name).map(|(_, description)| description);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(description)
        .schema(Some(String::schema()))
        .build()
}
