//! `POST /payloads`, `GET /payloads/{id}`: bodies as they are, streamed both ways.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use orchestrator_types::{PayloadId, PayloadRef, PayloadUploaded};

use crate::api::Api;
use crate::auth::ExecCaller;
use crate::extract::{Named, Wanted, etag, none_match};
use crate::problem::Refusal;

/// Upload a body
///
/// For what is too large to stand in an input: the answer's `payload_ref` is put where a connector says that it takes one.
/// What no job names within a day is removed.
#[utoipa::path(
    post, path = "/payloads", tag = "exec", operation_id = "upload_payload",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The bytes, of any type: `Content-Type` is kept"),
    responses((status = 201, description = "It is durable", body = PayloadUploaded))
)]
pub(super) async fn upload(State(api): State<Api>, caller: ExecCaller, request: Request) -> Result<Response, Refusal> {
    let headers = request.headers();
    if headers.get_all(CONTENT_ENCODING).iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "an encoded body is not taken: send it as it is";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let most = api.engine().payloads().max_bytes();
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(orchestrator_core::Error::TooLarge { max: most }.into());
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().into_data_stream().map_err(Into::into).boxed();
    let uploaded = api.engine().payloads().upload(&caller.workspace, &content_type, body).await?;
    Ok((StatusCode::CREATED, Json(uploaded)).into_response())
}

/// Read a payload
///
/// Its bytes as they are. A `HEAD` tells what it is.
#[utoipa::path(
    get, path = "/payloads/{id}", tag = "exec", operation_id = "get_payload",
    params(
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` that the range is of"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`: if it still is, the answer is 304")
    ),
    responses(
        (status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "As known"),
        (status = 410, description = "`payload_lost`: its bytes are gone or damaged"),
        (status = 416, description = "`range_not_satisfiable`: it does not have these bytes")
    )
)]
pub(super) async fn payload(
    State(api): State<Api>,
    caller: ExecCaller,
    method: Method,
    Named(id): Named<PayloadId>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let payloads = api.engine().payloads();
    let about = payloads.get(&caller.workspace, id).await?;
    let tag = format!("\"{}\"", about.sha256);
    if none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(&tag))]).into_response());
    }
    let wanted = if method == Method::HEAD { Wanted::Whole } else { Wanted::of(&headers, &tag, about.size) };
    let range = match wanted {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
        Wanted::Nothing => {
            let detail = "the payload does not have these bytes";
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail);
            let size = header(format!("bytes */{}", about.size));
            return Ok(([(CONTENT_RANGE, size)], refusal.into_response()).into_response());
        }
    };
    let part = range.clone().unwrap_or(0..about.size);
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(payloads.open(&caller.workspace, id, range.clone()).await?.body)
    };
    let mut response = Response::new(body);
    describe(response.headers_mut(), &about, &tag);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let at = header(format!("bytes {}-{}/{}", part.start, part.end - 1, about.size));
        response.headers_mut().insert(CONTENT_RANGE, at);
    }
    Ok(response)
}

/// What it is. Whoever uploaded it chose the type, so that no browser is to show it or to guess another.
fn describe(headers: &mut HeaderMap, about: &PayloadRef, tag: &str) {
    headers.insert(ETAG, etag(tag));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, header(about.content_type.clone()));
    headers.insert(CONTENT_DISPOSITION, header(format!("attachment; filename=\"{}\"", about.id)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

/// A value of numbers, or of what was found sound when it was stored.
fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}
