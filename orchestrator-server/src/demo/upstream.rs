//! The outside world: a billing API that can be told to fail, hang and recover.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers.
    Fine,
    /// Fails so often, then is fine again.
    Fails(u32),
    /// Fails until it is told otherwise.
    Down,
    /// Takes the request and never answers.
    Hangs,
    /// Refuses for good.
    Refuses,
}

#[derive(Debug)]
struct Inner {
    mood: Mood,
    calls: u64,
}

/// The upstream, told what to do by the demo.
#[derive(Clone)]
pub(crate) struct Upstream {
    inner: Arc<Mutex<Inner>>,
    pub(crate) url: String,
}

impl Upstream {
    pub(crate) async fn start(end: CancellationToken) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let upstream = Self { inner: Arc::new(Mutex::new(Inner { mood: Mood::Fine, calls: 0 })), url };
        let app = Router::new().fallback(answer).with_state(upstream.clone());
        tokio::spawn(async move {
            let serving = axum::serve(listener, app).with_graceful_shutdown(end.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the demo's upstream ended");
            }
        });
        Ok(upstream)
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.locked().mood = mood;
    }

    /// How many calls it has seen.
    pub(crate) fn calls(&self) -> u64 {
        self.locked().calls
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and tells how it ends.
    fn take(&self) -> Mood {
        let mut inner = self.locked();
        inner.calls += 1;
        let mood = inner.mood;
        match mood {
            Mood::Fails(0) => {
                inner.mood = Mood::Fine;
                Mood::Fine
            }
            Mood::Fails(more) => {
                inner.mood = Mood::Fails(more - 1);
                mood
            }
            _ => mood,
        }
    }
}

async fn answer(State(upstream): State<Upstream>, request: Request) -> Response {
    let known = request.headers().get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"Bearer "));
    match upstream.take() {
        _ if !known => (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "no credentials"}))).into_response(),
        Mood::Fine => {
            let path = request.uri().path().to_owned();
            let traceparent =
                request.headers().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
            axum::Json(json!({"ok": true, "path": path, "traceparent": traceparent})).into_response()
        }
        Mood::Fails(_) | Mood::Down => {
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"error": "down"}))).into_response()
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Refuses => {
            (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({"error": "no such invoice"}))).into_response()
        }
    }
}
