//! A product's back end that receives callbacks: each is verified over its raw bytes, taken once by its `webhook-id`, and
//! answered with 2xx only when it is kept. The server repeats everything else.
//!
//! `cargo run -p orchestrator-examples --example product`

#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use http::HeaderMap;
use orchestrator_client::callback::{CallbackVerifier, VerifiedCallback};
use orchestrator_core::callback::signing::sign;
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::types::{
    CallbackBody, CallbackType, InboxId, Timestamp, TraceId, WebhookCallbackData, WorkspaceId,
};
use orchestrator_examples::fixtures;
use serde_json::Value;
use tokio::net::TcpListener;

type AnyError = Box<dyn Error + Send + Sync>;

// --------------------------------------------------------------------------------------------------- the product

/// What the product knows of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paid {
    pub(crate) invoice: String,
    pub(crate) amount: i64,
}

/// The product's state. In a real one the two maps are tables, written in one transaction: the row of the delivery is
/// what makes a repetition harmless.
#[derive(Clone)]
pub(crate) struct Product {
    verifier: CallbackVerifier,
    ledger: Arc<Mutex<BTreeMap<String, Paid>>>,
}

// How the extractor finds the verifier.
impl FromRef<Product> for CallbackVerifier {
    fn from_ref(product: &Product) -> Self {
        product.verifier.clone()
    }
}

/// Takes a provider's event. What reaches this function was signed with our secret, in the last five minutes.
async fn stripe_event(
    State(product): State<Product>,
    VerifiedCallback(callback): VerifiedCallback<WebhookCallbackData>,
) -> StatusCode {
    let event = &callback.body.data;
    let invoice = event.payload.as_ref().and_then(|payload| payload.pointer("/data/object"));
    let paid = invoice.and_then(|invoice| {
        Some(Paid { invoice: invoice["id"].as_str()?.to_owned(), amount: invoice["amount_paid"].as_i64()? })
    });
    let Some(paid) = paid.filter(|_| event.event_type.as_deref() == Some("invoice.paid")) else {
        // An event that is no concern of ours is taken too: refusing it would only bring it again.
        return StatusCode::NO_CONTENT;
    };
    let mut ledger = product.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    // The id is the same on every redelivery: whoever has it has booked it.
    ledger.entry(callback.delivery.to_string()).or_insert(paid);
    StatusCode::NO_CONTENT
}

pub(crate) fn app(product: Product) -> Router {
    Router::new().route("/internal/billing/stripe-event", post(stripe_event)).with_state(product)
}

// ---------------------------------------------------------------------------------------------------- the program

/// What the product answered to each delivery, and what it booked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// A delivery.
    pub(crate) first: u16,
    /// The same delivery again, later and so with other headers.
    pub(crate) again: u16,
    /// One that somebody else signed.
    pub(crate) forged: u16,
    /// One whose body was changed on the way.
    pub(crate) altered: u16,
    /// One that was signed an hour ago.
    pub(crate) stale: u16,
    /// What was booked.
    pub(crate) ledger: Vec<Paid>,
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OF_SOMEBODY_ELSE: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The body of a callback, as the server renders it for a Stripe event.
fn delivery() -> Result<(String, Vec<u8>), AnyError> {
    let payload: Value = serde_json::from_str(fixtures::STRIPE_INVOICE_PAID)?;
    let (id, now) = (InboxId::new().to_string(), SystemClock.now());
    let workspace: WorkspaceId = "buildos-dev".parse()?;
    let data = WebhookCallbackData {
        provider: "stripe".parse()?,
        route: "stripe-main".parse()?,
        account: payload["account"].as_str().map(str::to_owned),
        event_id: payload["id"].as_str().unwrap_or_default().to_owned(),
        event_type: payload["type"].as_str().map(str::to_owned),
        payload: Some(payload),
        payload_base64: None,
        payload_ref: None,
        received_at: now,
    };
    let kind = CallbackType::WebhookReceived;
    let body = CallbackBody { kind, id: id.clone(), workspace, time: now, replay_of: None, data };
    Ok((id, serde_json::to_vec(&body)?))
}

/// The headers of a delivery, signed as the server signs.
fn signed(secret: &str, id: &str, at: Timestamp, body: &[u8]) -> Result<HeaderMap, AnyError> {
    let mut headers = sign(&[Secret::new(secret.to_owned())], id, at, body)?;
    headers.insert("content-type", "application/json".parse()?);
    headers.insert("traceparent", TraceId::new().traceparent().parse()?);
    Ok(headers)
}

/// The whole program.
pub(crate) async fn run() -> Result<Outcome, AnyError> {
    let product = Product { verifier: CallbackVerifier::of(SECRET)?, ledger: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/internal/billing/stripe-event", listener.local_addr()?);
    let app = app(product.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let http = client()?;
    let deliver = async |headers: HeaderMap, body: &[u8]| -> Result<u16, AnyError> {
        Ok(http.post(&url).headers(headers).body(body.to_vec()).send().await?.status().as_u16())
    };
    let (id, body) = delivery()?;
    let now = SystemClock.now();
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
    let altered = String::from_utf8(body.clone())?.replace("4900", "1").into_bytes();
    let mut outcome = Outcome {
        first: deliver(signed(SECRET, &id, now, &body)?, &body).await?,
        again: deliver(signed(SECRET, &id, now.after(second), &body)?, &body).await?,
        forged: deliver(signed(OF_SOMEBODY_ELSE, &id, now, &body)?, &body).await?,
        altered: deliver(signed(SECRET, &id, now, &body)?, &altered).await?,
        stale: deliver(signed(SECRET, &id, now.before(hour), &body)?, &body).await?,
        ledger: Vec::new(),
    };
    outcome.ledger = product.ledger.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
    println!("a delivery: {}; again: {}", outcome.first, outcome.again);
    println!("forged: {}; altered: {}; stale: {}", outcome.forged, outcome.altered, outcome.stale);
    println!("booked: {:?}", outcome.ledger);
    Ok(outcome)
}

#[allow(clippy::disallowed_methods, reason = "it plays the server, on this machine")]
fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().build()
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    run().await.map(drop)
}
