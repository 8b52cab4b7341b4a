//! The outermost layer of every router: gives each request its trace, runs its handler to the end, and
//! renders the answer's problem, headers, log line and metrics in one place.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use orchestrator_core::Finish;
use orchestrator_types::{TraceId, WorkspaceId};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::metrics::Metrics;
use crate::problem::Refusal;

static TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

/// The trace of a request, in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTrace(pub TraceId);

/// The workspace that a request turned out to be of, for its log line: set once by whoever finds out.
#[derive(Debug, Clone, Default)]
pub struct Tenant(Arc<OnceLock<WorkspaceId>>);

impl Tenant {
    /// Notes the workspace.
    pub fn is(&self, workspace: &WorkspaceId) {
        self.0.get_or_init(|| workspace.clone());
    }
}

/// Where handlers run once they are detached from their connection.
#[derive(Debug, Clone)]
pub(super) struct Detached(pub(super) TaskTracker);

/// What the outermost layer needs.
#[derive(Debug, Clone)]
pub struct Outermost {
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
}

/// Puts the outermost layer around a router, and gives it answers for what it does not route.
pub fn outermost(router: Router, state: Outermost) -> Router {
    router
        .fallback(async || Refusal::not_found())
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        })
        .layer(from_fn_with_state(state, handle))
}

async fn handle(State(state): State<Outermost>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace = inbound(request.headers()).unwrap_or_else(TraceId::new);
    let tenant = Tenant::default();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let tracker = request.extensions().get::<Detached>().map(|detached| detached.0.clone()).unwrap_or_default();
    request.extensions_mut().insert(RequestTrace(trace));
    request.extensions_mut().insert(tenant.clone());

    let span = tracing::info_span!("request", trace_id = %trace);
    let handler = Handler {
        // A change that has begun is finished though nobody waits for it any more; a question is dropped.
        question: matches!(method, Method::GET | Method::HEAD | Method::OPTIONS),
        work: Finish::new(&tracker, next.run(request).instrument(span.clone())),
        span: span.clone(),
    };
    let mut response = handler.await.unwrap_or_else(|panic| {
        tracing::error!(parent: &span, route, panic = message(&*panic), "a handler panicked");
        Refusal::internal().into_response()
    });
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        response = refused(refusal, response, trace);
    }
    dress(response.headers_mut(), trace);

    let (status, took) = (response.status(), started.elapsed());
    state.metrics.request(&method, route, status, took);
    let workspace = tenant.0.get().map(WorkspaceId::as_str).unwrap_or_default();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(parent: &span, %method, route, status = status.as_u16(), ms, workspace, "answered");
    response
}

/// The problem document, with the headers that the handler had set beside it.
fn refused(refusal: Refusal, bare: Response, trace: TraceId) -> Response {
    let mut response = refusal.render(trace);
    for (name, value) in bare.headers() {
        if !response.headers().contains_key(name) && name != http::header::CONTENT_LENGTH {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

/// The trace that the caller brings, if it brings exactly one and it is well formed.
fn inbound(headers: &HeaderMap) -> Option<TraceId> {
    let mut all = headers.get_all("traceparent").iter();
    match (all.next(), all.next()) {
        (Some(one), None) => TraceId::from_traceparent(one.to_str().ok()?),
        _ => None,
    }
}

fn dress(headers: &mut HeaderMap, trace: TraceId) {
    if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
        headers.insert(TRACE_ID.clone(), value);
    }
    let policy = "default-src 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, policy),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// A running handler. Awaiting it gives its answer, or what it panicked with.
struct Handler {
    work: Finish<Response>,
    span: Span,
    question: bool,
}

impl Future for Handler {
    type Output = Result<Response, Box<dyn Any + Send>>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.work).poll(cx)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if !self.work.is_finished() {
            tracing::info!(parent: &self.span, "the caller went away");
            if self.question {
                self.work.abandon();
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("")
}
