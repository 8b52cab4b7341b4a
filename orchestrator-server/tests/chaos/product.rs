//! A product that keeps every callback that it gets, and an upstream; both have bad days.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What callbacks are signed with.
pub(crate) const CALLBACK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How the product is today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers.
    Well,
    /// It answers after so long.
    Slow(Duration),
    /// It takes everything and answers nothing, until it is well again.
    Hanging,
    /// It answers 503.
    Failing,
}

/// What the product received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// By `webhook-id`, the bodies.
    pub(crate) bodies: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// By job or inbox entry, the `webhook-id`s.
    pub(crate) ids: BTreeMap<String, BTreeSet<String>>,
    /// What it has said yes to, by job or inbox entry.
    pub(crate) confirmed: BTreeSet<String>,
    /// Whose signature does not verify.
    pub(crate) forged: u64,
    /// All requests.
    pub(crate) requests: u64,
}

/// The product and the upstream, on one port.
pub(crate) struct World {
    url: String,
    mood: watch::Sender<Mood>,
    received: Arc<Mutex<Received>>,
    calls: Arc<AtomicU64>,
    held: watch::Sender<bool>,
}

#[derive(Clone)]
struct Product {
    mood: watch::Receiver<Mood>,
    received: Arc<Mutex<Received>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (mood, seen) = watch::channel(Mood::Well);
        let (received, calls) = (Arc::<Mutex<Received>>::default(), Arc::<AtomicU64>::default());
        let (counted, (held, seen_held)) = (calls.clone(), watch::channel(false));
        let app = Router::new()
            .route("/callback", post(product))
            .route("/up/{*rest}", any(move || upstream(counted.clone(), seen_held.clone())))
            .with_state(Product { mood: seen, received: received.clone() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, mood, received, calls, held }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Whether the upstream keeps its callers waiting.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// How many calls the upstream got.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Looks at what was received so far.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.received.lock().unwrap())
    }
}

async fn upstream(calls: Arc<AtomicU64>, mut held: watch::Receiver<bool>) -> axum::Json<Value> {
    calls.fetch_add(1, Ordering::Relaxed);
    // It fails only if the world is gone, and then nobody waits.
    let _ = held.wait_for(|held| !held).await;
    axum::Json(json!({"ok": true}))
}

async fn product(State(product): State<Product>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verifier = standardwebhooks::Webhook::new(CALLBACK_SECRET).unwrap();
    if verifier.verify(&body, &headers).is_err() {
        product.received.lock().unwrap().forged += 1;
        return StatusCode::UNAUTHORIZED;
    }
    let webhook_id = headers["webhook-id"].to_str().unwrap().to_owned();
    let subject = serde_json::from_slice::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    {
        let mut received = product.received.lock().unwrap();
        received.requests += 1;
        received.bodies.entry(webhook_id.clone()).or_default().insert(body.to_vec());
        received.ids.entry(subject.clone()).or_default().insert(webhook_id);
    }
    let mut mood = product.mood.clone();
    let now = *mood.borrow_and_update();
    match now {
        Mood::Well => {}
        Mood::Slow(by) => tokio::time::sleep(by).await,
        Mood::Failing => return StatusCode::SERVICE_UNAVAILABLE,
        Mood::Hanging => {
            // Nobody hears of it: the sender has to take it as not done.
            if mood.wait_for(|mood| *mood != Mood::Hanging).await.is_err() {
                pending::<()>().await;
            }
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    product.received.lock().unwrap().confirmed.insert(subject);
    StatusCode::NO_CONTENT
}
