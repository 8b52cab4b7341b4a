//! From a request to its answer: recorded, refused if the test says so, and handed to whoever has its path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use orchestrator_types::{JobStatus, PayloadUploaded, ProductConfig, TokenResponse, TraceId, scope};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::events::Wanted;
use super::record::MockRequest;
use super::refusal::Refusal;
use super::state::{Kept, Shared, now};
use crate::code::ErrorCode;

/// No request is larger, in bytes.
const BODY: usize = 8 * 1024 * 1024;
/// The longest that an answer is held back.
const LONGEST_WAIT: u64 = 30_000;

/// The answer to a request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let traceparent = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
    let trace = traceparent.and_then(TraceId::from_traceparent).unwrap_or_else(TraceId::new);
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let Ok(body) = to_bytes(body, BODY).await else {
        return leave(Err(Refusal::new(ErrorCode::BodyTooLarge, "the body is larger than 8 MiB")), trace);
    };
    let authorized = head.headers.contains_key(AUTHORIZATION);
    let mut headers = head.headers;
    headers.remove(AUTHORIZATION);
    let request = MockRequest {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: query.into_owned().collect(),
        headers,
        body,
    };
    let planned = shared.change(|state| {
        state.requests.push(request.clone());
        state.failures.pop_front()
    });
    if let Some(code) = planned {
        return leave(Err(Refusal::new(code, "the test refuses this request")), trace);
    }
    let segments: Vec<&str> = request.path.split('/').skip(1).collect();
    let public = matches!(segments[..], ["oauth", ..] | [".well-known", ..] | ["webhooks", ..]);
    if !public && !authorized {
        return leave(Err(Refusal::new(ErrorCode::Unauthenticated, "a valid bearer token is required")), trace);
    }
    if segments[..] == ["events"] && wants_stream(&request.headers) {
        return match wanted(&request) {
            Ok(wanted) => shared.stream(wanted),
            Err(refusal) => leave(Err(refusal), trace),
        };
    }
    leave(once(&shared, &request, trace).await, trace)
}

fn leave(answer: Result<Answer, Refusal>, trace: TraceId) -> Response {
    let mut response = answer.unwrap_or_else(|refusal| refusal.answer(trace)).leave().into_response();
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("trace-id"), value);
    }
    response
}

/// Under an idempotency key, the first answer again.
async fn once(shared: &Arc<Shared>, request: &MockRequest, trace: TraceId) -> Result<Answer, Refusal> {
    let key = request.header("idempotency-key").filter(|_| request.method == Method::POST);
    let Some(key) = key else { return handed(shared, request, None, trace).await };
    let kept_as = (request.path.clone(), key.to_owned());
    if let Some(first) = begun(shared, request, &kept_as).await {
        return first;
    }
    let (shared, request, key) = (Arc::clone(shared), request.clone(), key.to_owned());
    // On a task of its own: a caller that goes away stops nothing, and finds the answer when it comes back.
    let running = tokio::spawn(async move {
        let outcome = handed(&shared, &request, Some(key), trace).await;
        let answer = outcome.unwrap_or_else(|refusal| refusal.answer(trace));
        // What a policy or the request's own fault refused pins nothing.
        let status = answer.status;
        let pins = status.is_success() || status.as_u16() >= 502 && status != StatusCode::SERVICE_UNAVAILABLE;
        shared.change(|state| {
            if pins {
                state.keys.entry(kept_as).and_modify(|kept| kept.answer = Some(answer.clone()));
            } else {
                state.keys.remove(&kept_as);
            }
        });
        answer
    });
    running.await.map_err(|_| Refusal::new(ErrorCode::Internal, "the script of the call panicked"))
}

/// What the first request of a key came to, waiting for it while it runs; `None` if this one is the first.
async fn begun(shared: &Shared, request: &MockRequest, kept_as: &(String, String)) -> Option<Result<Answer, Refusal>> {
    let refused = |code, detail: &str| Some(Err(Refusal::new(code, detail)));
    let mut changes = shared.changes();
    let until = Instant::now() + Duration::from_millis(LONGEST_WAIT);
    loop {
        // Looked up and taken under one lock: of two requests one is the first.
        let kept = {
            let mut state = shared.state();
            match state.keys.get(kept_as) {
                Some(kept) => (kept.body == request.body, kept.answer.clone()),
                None => {
                    state.keys.insert(kept_as.clone(), Kept { body: request.body.clone(), answer: None });
                    return None;
                }
            }
        };
        match kept {
            (false, _) => {
                return refused(ErrorCode::IdempotencyMismatch, "the idempotency key was used with another body");
            }
            (true, Some(answer)) => return Some(Ok(answer.with("idempotency-replayed", "true"))),
            (true, None) if timeout_at(until, changes.changed()).await.is_err() => {
                return refused(ErrorCode::IdempotencyInProgress, "the first request with this key is still running");
            }
            (true, None) => {}
        }
    }
}

async fn handed(
    shared: &Arc<Shared>,
    request: &MockRequest,
    key: Option<String>,
    trace: TraceId,
) -> Result<Answer, Refusal> {
    let path: Vec<&str> = request.path.split('/').skip(1).collect();
    match (request.method.as_str(), &path[..]) {
        ("POST", ["execute"]) => shared.execute(read(&request.body)?, key, trace).await,
        ("GET", ["executions", id]) => {
            shared.state().executions.get(*id).map(Answer::ok).ok_or_else(Refusal::not_found)
        }
        ("GET", ["config"]) => Ok(config(shared, &request.headers)),
        ("GET", ["payloads", id]) => payload(shared, id),
        ("POST", ["payloads"]) => Ok(upload(shared, request)),
        ("POST", ["jobs"]) => shared.submit(read(&request.body)?, key, trace),
        ("POST", ["jobs", "batch"]) => shared.submit_batch(read(&request.body)?, key, trace),
        ("GET", ["jobs"]) => {
            let status =
                request.query.get("status").map(|status| read_text::<JobStatus>("status", status)).transpose()?;
            let connector = request.query.get("connector").map(String::as_str);
            let cursor = request.query.get("cursor");
            let cursor =
                cursor.map(|cursor| cursor.parse().map_err(|_| Refusal::invalid("", "`cursor` is none of ours")));
            Ok(shared.jobs(status, connector, cursor.transpose()?, limit(&request.query)?))
        }
        ("GET", ["jobs", id]) => shared.job(id.parse().map_err(|_| Refusal::not_found())?, wait(&request.query)?).await,
        ("POST", ["jobs", id, "cancel"]) => shared.cancel(id.parse().map_err(|_| Refusal::not_found())?),
        ("GET", ["events"]) => {
            Ok(shared.events(&wanted(request)?, limit(&request.query)?, wait(&request.query)?).await)
        }
        ("POST", ["oauth", "token"]) => token(&request.body),
        ("GET", [".well-known", "jwks.json"]) => Ok(Answer::ok(&json!({"keys": []}))),
        ("POST", ["webhooks", provider]) => shared.take(provider, None, request.body.clone(), trace),
        ("POST", ["webhooks", provider, route]) => shared.take(provider, Some(route), request.body.clone(), trace),
        _ => Err(Refusal::new(ErrorCode::NotFound, "the mock has the exec API, tokens and the ingress only")),
    }
}

fn config(shared: &Shared, headers: &HeaderMap) -> Answer {
    let config = shared.state().config.clone();
    let config = config.unwrap_or_else(|| ProductConfig { version: 1, settings: BTreeMap::new() });
    let etag = format!("\"{}-mock\"", config.version);
    if headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()) == Some(&etag) {
        return Answer::empty(StatusCode::NOT_MODIFIED).with("etag", etag);
    }
    Answer::ok(&config).with("etag", etag)
}

fn upload(shared: &Shared, request: &MockRequest) -> Answer {
    let kind = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let payload_ref = shared.keep(kind.unwrap_or("application/octet-stream"), request.body.clone());
    let expires_at = now().after(Duration::from_secs(24 * 60 * 60));
    Answer::json(StatusCode::CREATED, &PayloadUploaded { payload_ref, expires_at })
}

fn payload(shared: &Shared, id: &str) -> Result<Answer, Refusal> {
    let id = id.parse().map_err(|_| Refusal::not_found())?;
    let kept = shared.state().payloads.get(&id).cloned();
    kept.map(|(content_type, bytes)| Answer::bytes(&content_type, bytes)).ok_or_else(Refusal::not_found)
}

/// Any identity is believed: what the product does with a token is to be tested, not whether its secret is good.
fn token(body: &Bytes) -> Result<Answer, Refusal> {
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
    if form.get("grant_type").is_none_or(|grant| grant != "client_credentials") {
        return Err(Refusal::new(ErrorCode::UnsupportedGrantType, "the mock knows `client_credentials`"));
    }
    let scope = form.get("scope").cloned().unwrap_or_else(|| scope::EXEC.join(" "));
    let token = TokenResponse {
        access_token: "mock-token".to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: 3_600,
        scope,
    };
    Ok(Answer::ok(&token))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|problem| Refusal::invalid("", problem.to_string()))
}

fn read_text<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Refusal> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| Refusal::invalid("", format!("`{name}` has no such value")))
}

fn limit(query: &BTreeMap<String, String>) -> Result<usize, Refusal> {
    match query.get("limit").map(|limit| limit.parse()) {
        None => Ok(50),
        Some(Ok(limit @ 1..=500)) => Ok(limit),
        Some(_) => Err(Refusal::invalid("", "`limit` is 1 to 500")),
    }
}

fn wait(query: &BTreeMap<String, String>) -> Result<Duration, Refusal> {
    match query.get("wait_ms").map(|wait| wait.parse()) {
        None => Ok(Duration::ZERO),
        Some(Ok(wait @ 0..=LONGEST_WAIT)) => Ok(Duration::from_millis(wait)),
        Some(_) => Err(Refusal::invalid("", "`wait_ms` is at most 30000")),
    }
}

fn wanted(request: &MockRequest) -> Result<Wanted, Refusal> {
    let query = &request.query;
    let after = request.header("last-event-id").filter(|id| !id.is_empty());
    let after = after.or_else(|| query.get("after").or_else(|| query.get("cursor")).map(String::as_str));
    Ok(Wanted {
        after: after
            .map(|id| id.parse().map_err(|_| Refusal::invalid("", "the cursor is not the id of an event")))
            .transpose()?,
        kinds: query.get("type").into_iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect(),
        subject: query.get("subject").cloned(),
        trace_id: query.get("trace_id").cloned(),
    })
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"))
}
