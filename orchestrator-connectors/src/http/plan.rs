//! From an operation and its input to a request that is ready but for its credentials.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use orchestrator_core::connector::PlanError;
use orchestrator_types::FieldError;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::headers::{By, IDEMPOTENCY_KEY, read};
use super::input::{NamedInput, RequestInput, Scalar, Values, pairs};
use super::settings::{HttpSettings, MethodName, NamedOperation};
use super::shape::{Given, Shape, pointer};
use super::template::FillProblem;

/// The schemas of the inputs.
pub(super) struct InputShapes {
    pub(super) request: Shape,
    pub(super) named: Shape,
}

impl InputShapes {
    pub(super) fn new() -> Self {
        Self { request: Shape::of::<RequestInput>(), named: Shape::of::<NamedInput>() }
    }
}

/// A request without its credentials.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether making it twice is as good as once.
    pub(super) idempotent: bool,
    /// Whether it brings an idempotency key of the caller's.
    pub(super) keyed: bool,
}

/// What both forms of input share, besides where they go.
struct Rest {
    query: Given<BTreeMap<String, Values>>,
    headers: Given<BTreeMap<String, String>>,
    json: Given<Value>,
    form: Given<BTreeMap<String, Values>>,
    text: Given<String>,
    body_base64: Given<String>,
}

/// Plans a call.
///
/// # Errors
/// No such operation, or everything that is wrong with its input.
pub(super) fn plan(
    settings: &HttpSettings,
    shapes: &InputShapes,
    operation: &str,
    input: &Value,
) -> Result<Planned, PlanError> {
    match (operation, &settings.webhook_path, settings.operations.get(operation)) {
        ("request", _, _) => request(settings, &shapes.request, input),
        ("webhook", Some(path), _) => webhook(settings, path, input),
        (_, _, Some(named)) => self::named(settings, &shapes.named, named, input),
        _ => return Err(PlanError::OperationNotFound),
    }
    .map_err(PlanError::InvalidInput)
}

fn request(settings: &HttpSettings, shape: &Shape, input: &Value) -> Result<Planned, Vec<FieldError>> {
    let (input, mut problems) = shape.read::<RequestInput>(input);
    let RequestInput { method, path, query, headers, json, form, text, body_base64 } = input;
    let url = path.0.and_then(|path| match settings.base.join(&path) {
        Ok(url) => Some(url),
        Err(problem) => {
            problems.push(FieldError::new("/path", problem));
            None
        }
    });
    let rest = Rest { query, headers, json, form, text, body_base64 };
    finish(settings, method.0, url, rest, None, problems)
}

fn named(
    settings: &HttpSettings,
    shape: &Shape,
    operation: &NamedOperation,
    input: &Value,
) -> Result<Planned, Vec<FieldError>> {
    let (input, mut problems) = shape.read::<NamedInput>(input);
    let NamedInput { params, query, headers, json, form, text, body_base64 } = input;
    let values =
        params.0.unwrap_or_default().iter().map(|(name, value)| (name.clone(), Scalar::to_text(value))).collect();
    // Parameters of the wrong type have been told by the schema; those would all be missing here.
    let told = problems.iter().any(|problem| problem.pointer.starts_with("/params"));
    let url = match operation.path.fill(&values) {
        Ok(path) => {
            settings.base.join(&path).map_err(|problem| problems.push(FieldError::new("/params", problem))).ok()
        }
        Err(found) => {
            if !told {
                problems.extend(found.into_iter().map(parameter_problem));
            }
            None
        }
    };
    let rest = Rest { query, headers, json, form, text, body_base64 };
    finish(settings, Some(operation.method), url, rest, operation.idempotent, problems)
}

fn parameter_problem(problem: FillProblem) -> FieldError {
    match problem {
        FillProblem::Missing(name) => FieldError::new(pointer("/params", &name), "this field is required"),
        FillProblem::Unknown(name) => FieldError::new(pointer("/params", &name), "the path has no such parameter"),
        FillProblem::Value(name, problem) => FieldError::new(pointer("/params", &name), problem),
    }
}

fn webhook(settings: &HttpSettings, path: &str, event: &Value) -> Result<Planned, Vec<FieldError>> {
    let url = settings.base.join(path).map_err(|problem| vec![FieldError::new("", problem)])?;
    let mut headers = settings.headers.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Planned {
        method: Method::POST,
        url,
        headers,
        body: event.to_string().into(),
        idempotent: settings.idempotency_header.is_some(),
        keyed: false,
    })
}

fn finish(
    settings: &HttpSettings,
    method: Option<MethodName>,
    url: Option<Url>,
    rest: Rest,
    idempotent: Option<bool>,
    mut problems: Vec<FieldError>,
) -> Result<Planned, Vec<FieldError>> {
    let given = rest.headers.0.as_ref().map(|given| read(given, "/headers", By::Input(&settings.headers)));
    let given = given.transpose().unwrap_or_else(|found| {
        problems.extend(found);
        None
    });
    let given = given.unwrap_or_default();
    if settings.header_name.as_ref().is_some_and(|name| given.contains_key(name)) {
        problems.push(FieldError::new("/headers", "one of the headers carries a credential: the secret slot fills it"));
    }
    let body = body_of(rest.json, rest.form, rest.text, rest.body_base64).unwrap_or_else(|found| {
        problems.extend(found);
        None
    });
    let (Some(method), Some(mut url), true) = (method, url, problems.is_empty()) else {
        if problems.is_empty() {
            problems.push(FieldError::new("", "the input is not what the operation takes"));
        }
        return Err(problems);
    };
    if let Some(query) = rest.query.0.filter(|query| !query.is_empty()) {
        url.query_pairs_mut().extend_pairs(pairs(&query));
    }
    let key = settings.idempotency_header.clone().unwrap_or(IDEMPOTENCY_KEY);
    let keyed = given.get(key).is_some_and(|key| !key.is_empty());
    let mut headers = settings.headers.clone();
    headers.extend(given);
    let (body, content_type) = body.unwrap_or_default();
    if let (Some(content_type), false) = (content_type, headers.contains_key(CONTENT_TYPE)) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let by_nature = method.is_idempotent() || keyed || settings.idempotency_header.is_some();
    let idempotent = idempotent.unwrap_or(by_nature);
    Ok(Planned { method: method.method(), url, headers, body, idempotent, keyed })
}

type Body = (Bytes, Option<&'static str>);

/// The body, and its type where the caller names none.
fn body_of(
    json: Given<Value>,
    form: Given<BTreeMap<String, Values>>,
    text: Given<String>,
    body_base64: Given<String>,
) -> Result<Option<Body>, Vec<FieldError>> {
    let mut problems = Vec::new();
    let mut bodies: Vec<(&str, Body)> = Vec::new();
    if let Some(json) = json.0 {
        bodies.push(("/json", (json.to_string().into(), Some("application/json"))));
    }
    if let Some(form) = form.0 {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(&form)).finish();
        bodies.push(("/form", (encoded.into(), Some("application/x-www-form-urlencoded"))));
    }
    if let Some(text) = text.0 {
        bodies.push(("/text", (text.into(), Some("text/plain; charset=utf-8"))));
    }
    if let Some(encoded) = body_base64.0 {
        let bytes = BASE64.decode(encoded.as_bytes()).unwrap_or_else(|_| {
            problems.push(FieldError::new("/body_base64", "this is not base64"));
            Vec::new()
        });
        bodies.push(("/body_base64", (bytes.into(), Some("application/octet-stream"))));
    }
    for (place, _) in bodies.iter().skip(1) {
        problems
            .push(FieldError::new(*place, "a request has one body: give one of `json`, `form`, `text`, `body_base64`"));
    }
    if problems.is_empty() { Ok(bodies.pop().map(|(_, body)| body)) } else { Err(problems) }
}
