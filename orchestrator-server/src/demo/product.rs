//! A sample product: verifies what it receives, deduplicates by `webhook-id`, and writes no retry of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use orchestrator_client::callback::{CallbackVerifier, VerifiedCallback};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A callback that the product took.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// `webhook.received`, `job.succeeded`, …
    pub(crate) kind: String,
    /// The inbox entry's or the job's id.
    pub(crate) id: String,
    /// The rest.
    pub(crate) data: Value,
    /// How often it came, under the same `webhook-id`.
    pub(crate) times: u32,
}

#[derive(Default)]
struct Inner {
    /// By `webhook-id`.
    taken: BTreeMap<String, Received>,
    refusing: bool,
}

/// A product's back end.
#[derive(Clone)]
pub(crate) struct Product {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
    verifier: CallbackVerifier,
    pub(crate) url: String,
}

impl FromRef<Product> for CallbackVerifier {
    fn from_ref(product: &Product) -> Self {
        product.verifier.clone()
    }
}

impl Product {
    pub(crate) async fn start(secret: &str, end: CancellationToken) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/internal/billing/stripe-event", listener.local_addr()?);
        let verifier = CallbackVerifier::of(secret)?;
        let product = Self { inner: Arc::default(), changed: Arc::default(), verifier, url };
        let app = Router::new().route("/internal/billing/stripe-event", post(take)).with_state(product.clone());
        tokio::spawn(async move {
            let serving = axum::serve(listener, app).with_graceful_shutdown(end.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the demo's product ended");
            }
        });
        Ok(product)
    }

    /// Whether it refuses what comes, as a product with a bug would.
    pub(crate) fn refuse(&self, refusing: bool) {
        self.locked().refusing = refusing;
    }

    /// What it took, by `webhook-id`.
    pub(crate) fn taken(&self) -> Vec<(String, Received)> {
        self.locked().taken.iter().map(|(id, received)| (id.clone(), received.clone())).collect()
    }

    /// Waits for a callback about `id`.
    pub(crate) async fn receives(&self, id: &str) -> anyhow::Result<(String, Received)> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = self.taken().into_iter().find(|(_, received)| received.id == id) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), wait)
            .await
            .map_err(|_| anyhow::anyhow!("no callback about {id} came within 15 s"))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(product): State<Product>, VerifiedCallback(callback): VerifiedCallback<Value>) -> StatusCode {
    let status = {
        let mut inner = product.locked();
        if inner.refusing {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            let received = Received {
                kind: serde_json::to_value(callback.body.kind)
                    .ok()
                    .and_then(|kind| kind.as_str().map(str::to_owned))
                    .unwrap_or_default(),
                id: callback.body.id,
                data: callback.body.data,
                times: 0,
            };
            inner.taken.entry(callback.delivery.to_string()).or_insert(received).times += 1;
            StatusCode::NO_CONTENT
        }
    };
    product.changed.notify_waiters();
    status
}
