//! From an operation and its input to a request that is ready but for its credentials.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use orchestrator_core::connector::PlanError;
use orchestrator_types::{FieldError, PayloadId};
use serde::Deserialize as _;
use serde_json::{Map, Value};
use url::Url;

use super::body::{Bodies, Body, BodyKind};
use super::headers::{By, IDEMPOTENCY_KEY, read};
use super::input::{NamedInput, RequestInput, Scalar, Values, pairs};
use super::method::MethodName;
use super::operation::{InputSchema, NamedOperation};
use super::paging::Paging;
use super::settings::HttpSettings;
use super::shape::{Shape, pointer};
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
    /// The payload that is to be the body: [`body`](Self::body) is empty until it is read.
    pub(super) payload: Option<PayloadId>,
    /// Whether making it twice is as good as once.
    pub(super) idempotent: bool,
    /// Whether it brings an idempotency key of the caller's.
    pub(super) keyed: bool,
    /// How it goes on to further pages, if it does.
    pub(super) paging: Option<Paging>,
}

/// What all forms of input share, besides where they go.
#[derive(Default)]
struct Rest {
    query: Option<BTreeMap<String, Values>>,
    headers: Option<BTreeMap<String, String>>,
    bodies: Bodies,
    /// The one kind of body that is taken, if there is one.
    only: Option<BodyKind>,
    idempotent: Option<bool>,
    paging: Option<Paging>,
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
        (_, _, Some(named)) => match &named.input {
            Some(schema) => typed(settings, schema, named, input),
            None => self::named(settings, &shapes.named, named, input),
        },
        _ => return Err(PlanError::OperationNotFound),
    }
    .map_err(PlanError::InvalidInput)
}

fn request(settings: &HttpSettings, shape: &Shape, input: &Value) -> Result<Planned, Vec<FieldError>> {
    let (input, mut problems) = shape.read::<RequestInput>(input);
    let RequestInput { method, path, query, headers, json, form, text, body_base64, payload_ref, multipart, paginate } =
        input;
    let url = path.0.and_then(|path| match settings.base.join(&path) {
        Ok(url) => Some(url),
        Err(problem) => {
            problems.push(FieldError::new("/path", problem));
            None
        }
    });
    let paging = paginate.0.and_then(|paging| {
        if method.0.as_ref().is_some_and(|method| !method.is_get()) {
            problems.push(FieldError::new("/paginate", "pages are read with `GET`"));
        }
        // What the schema told is not told again.
        paging.read("/paginate").map_err(|found| problems.extend(found)).ok()
    });
    let bodies = Bodies {
        json: json.0,
        form: form.0,
        text: text.0,
        body_base64: body_base64.0,
        payload_ref: payload_ref.0,
        multipart: multipart.0,
    };
    let rest = Rest { query: query.0, headers: headers.0, bodies, paging, ..Rest::default() };
    finish(settings, method.0.as_ref(), url, rest, problems)
}

fn named(
    settings: &HttpSettings,
    shape: &Shape,
    operation: &NamedOperation,
    input: &Value,
) -> Result<Planned, Vec<FieldError>> {
    let (input, mut problems) = shape.read::<NamedInput>(input);
    let NamedInput { params, query, headers, json, form, text, body_base64, payload_ref, multipart } = input;
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
                problems.extend(found.into_iter().map(|problem| parameter_problem("/params", problem)));
            }
            None
        }
    };
    let rest = Rest {
        query: query.0,
        headers: headers.0,
        bodies: Bodies {
            json: json.0,
            form: form.0,
            text: text.0,
            body_base64: body_base64.0,
            payload_ref: payload_ref.0,
            multipart: multipart.0,
        },
        only: operation.body,
        idempotent: operation.idempotent,
        paging: operation.paging.clone(),
    };
    finish(settings, Some(&operation.method), url, rest, problems)
}

/// An operation with a schema: the input's fields fill the path, and the rest goes where the operation says.
fn typed(
    settings: &HttpSettings,
    schema: &InputSchema,
    operation: &NamedOperation,
    input: &Value,
) -> Result<Planned, Vec<FieldError>> {
    let mut problems = super::shape::problems(&schema.validator, input);
    let Value::Object(fields) = input else {
        if problems.is_empty() {
            problems.push(FieldError::new("", "the input is an object"));
        }
        return Err(problems);
    };
    let mut fields = fields.clone();
    let mut values = BTreeMap::new();
    for name in operation.path.parameters() {
        match fields.remove(name).map(Scalar::deserialize) {
            Some(Ok(value)) => {
                values.insert(name.to_owned(), value.to_text());
            }
            Some(Err(_)) => problems.push(FieldError::new(pointer("", name), "a text or a number fills the path")),
            None => {}
        }
    }
    let url = match operation.path.fill(&values) {
        Ok(path) => settings.base.join(&path).map_err(|problem| problems.push(FieldError::new("", problem))).ok(),
        Err(found) => {
            // What the schema told is not told again.
            let told: Vec<String> = problems.iter().map(|problem| problem.pointer.clone()).collect();
            let found = found.into_iter().map(|problem| parameter_problem("", problem));
            problems.extend(found.filter(|problem| !told.contains(&problem.pointer)));
            None
        }
    };
    let mut rest = Rest { idempotent: operation.idempotent, paging: operation.paging.clone(), ..Rest::default() };
    match operation.rest() {
        BodyKind::Json => rest.bodies.json = Some(Value::Object(fields)),
        BodyKind::Form => rest.bodies.form = Some(flat(fields, &mut problems)),
        BodyKind::Query => rest.query = Some(flat(fields, &mut problems)),
        // The settings refuse the other kinds beside a schema.
        _ => problems.extend(fields.keys().map(|name| FieldError::new(pointer("", name), "there is no place for it"))),
    }
    finish(settings, Some(&operation.method), url, rest, problems)
}

/// Fields whose values are texts, numbers, flags, or lists of them.
fn flat(fields: Map<String, Value>, problems: &mut Vec<FieldError>) -> BTreeMap<String, Values> {
    let mut flat = BTreeMap::new();
    for (name, value) in fields {
        match Values::deserialize(value) {
            Ok(values) => {
                flat.insert(name, values);
            }
            Err(_) => problems.push(FieldError::new(pointer("", &name), "a text, a number, or a list of them")),
        }
    }
    flat
}

fn parameter_problem(place: &str, problem: FillProblem) -> FieldError {
    match problem {
        FillProblem::Missing(name) => FieldError::new(pointer(place, &name), "this field is required"),
        FillProblem::Unknown(name) => FieldError::new(pointer(place, &name), "the path has no such parameter"),
        FillProblem::Value(name, problem) => FieldError::new(pointer(place, &name), problem),
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
        payload: None,
        idempotent: settings.idempotency_header.is_some(),
        keyed: false,
        paging: None,
    })
}

fn finish(
    settings: &HttpSettings,
    method: Option<&MethodName>,
    url: Option<Url>,
    rest: Rest,
    mut problems: Vec<FieldError>,
) -> Result<Planned, Vec<FieldError>> {
    let given = rest.headers.as_ref().map(|given| read(given, "/headers", By::Input(&settings.headers)));
    let given = given.transpose().unwrap_or_else(|found| {
        problems.extend(found);
        None
    });
    let given = given.unwrap_or_default();
    if settings.header_name.as_ref().is_some_and(|name| given.contains_key(name)) {
        problems.push(FieldError::new("/headers", "one of the headers carries a credential: the secret slot fills it"));
    }
    if settings.signing.as_ref().is_some_and(|signing| signing.sets().any(|name| given.contains_key(name))) {
        problems.push(FieldError::new("/headers", "one of the headers carries the signature"));
    }
    let body = rest.bodies.read(rest.only).unwrap_or_else(|found| {
        problems.extend(found);
        None
    });
    let (Some(method), Some(mut url), true) = (method, url, problems.is_empty()) else {
        if problems.is_empty() {
            problems.push(FieldError::new("", "the input is not what the operation takes"));
        }
        return Err(problems);
    };
    if let Some(query) = rest.query.filter(|query| !query.is_empty()) {
        url.query_pairs_mut().extend_pairs(pairs(&query));
    }
    let key = settings.idempotency_header.clone().unwrap_or(IDEMPOTENCY_KEY);
    let keyed = given.get(key).is_some_and(|key| !key.is_empty());
    let mut headers = settings.headers.clone();
    headers.extend(given);
    let Body { bytes: body, content_type, payload } = body.unwrap_or_default();
    if let (Some(content_type), false) = (content_type, headers.contains_key(CONTENT_TYPE)) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    let by_nature = method.is_idempotent() || keyed || settings.idempotency_header.is_some();
    let idempotent = rest.idempotent.unwrap_or(by_nature);
    Ok(Planned { method: method.method(), url, headers, body, payload, idempotent, keyed, paging: rest.paging })
}
