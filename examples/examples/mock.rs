//! A product's own code, and its tests against the mock server: nothing of the engine is started, and no network is needed. Copy
//! the second half.
//!
//! `cargo run -p orchestrator-examples --example mock`

#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use orchestrator_client::callback::{CallbackVerifier, VerifiedCallback};
use orchestrator_client::mock::{MockServer, Outcome};
use orchestrator_client::{Client, ErrorCode};
use orchestrator_types::{CallbackType, ExecuteRequest, IdempotencyKey, JobCallbackData, JobId, JobRequest};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type AnyError = Box<dyn Error + Send + Sync>;

// --------------------------------------------------------------------------------------------------- the product

/// What came of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refund {
    /// It is done; the provider's id of it.
    Done(String),
    /// The provider will never do it.
    Refused,
    /// Not now. Nothing may have been done twice: the next try has the same key.
    Later(Duration),
}

/// The product's way to its provider.
struct Refunds {
    orchestrator: Client,
}

impl Refunds {
    async fn refund(&self, order: &str, amount: u64) -> Result<Refund, AnyError> {
        let key: IdempotencyKey = order.parse()?;
        match self.orchestrator.execute(&call(amount)?).idempotency_key(key).await {
            Ok(done) => Ok(Refund::Done(done.output["body"]["id"].as_str().unwrap_or_default().to_owned())),
            Err(error) if error.code() == Some(ErrorCode::UpstreamRejected) => Ok(Refund::Refused),
            Err(error) if error.is_retryable() => {
                Ok(Refund::Later(error.retry_after().unwrap_or(Duration::from_secs(60))))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same, for whoever does not wait: the outcome comes as a callback.
    async fn refund_later(&self, order: &str, amount: u64) -> Result<JobId, AnyError> {
        let ExecuteRequest { connector, operation, input, timeout_ms } = call(amount)?;
        let job = JobRequest {
            connector,
            operation,
            input,
            timeout_ms,
            run_at: None,
            delay_ms: None,
            priority: None,
            callback: Some("refunds".parse()?),
            ordering_key: None,
            max_attempts: None,
            metadata: [("order".to_owned(), order.to_owned())].into(),
        };
        Ok(self.orchestrator.submit(&job).idempotency_key(order.parse()?).await?.id)
    }
}

fn call(amount: u64) -> Result<ExecuteRequest, AnyError> {
    Ok(ExecuteRequest {
        connector: "billing-api".parse()?,
        operation: "request".to_owned(),
        input: json!({"method": "POST", "path": "/v1/refunds", "json": {"amount": amount}}),
        timeout_ms: None,
    })
}

/// The product's handler of outcomes.
#[derive(Clone)]
struct Inbox {
    verifier: CallbackVerifier,
    done: Arc<Mutex<BTreeMap<String, String>>>,
}

impl FromRef<Inbox> for CallbackVerifier {
    fn from_ref(inbox: &Inbox) -> Self {
        inbox.verifier.clone()
    }
}

async fn refund_done(
    State(inbox): State<Inbox>,
    VerifiedCallback(callback): VerifiedCallback<JobCallbackData>,
) -> StatusCode {
    if callback.body.kind == CallbackType::JobSucceeded {
        let order = callback.body.data.metadata.get("order").cloned().unwrap_or_default();
        // The id is the same on every redelivery: whoever has it has booked it.
        inbox.done.lock().unwrap_or_else(PoisonError::into_inner).entry(callback.delivery.to_string()).or_insert(order);
    }
    StatusCode::NO_CONTENT
}

// ------------------------------------------------------------------------------------------------------- its tests

/// What the tests saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Refunds: one that works, one that is refused, one whose upstream is down.
    pub(crate) refunds: Vec<Refund>,
    /// Under which keys the provider was asked, and for how much.
    pub(crate) asked: Vec<(Option<String>, Value)>,
    /// Orders whose outcome reached the handler.
    pub(crate) done: Vec<String>,
    /// How many attempts the job took.
    pub(crate) attempts: usize,
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The whole program.
pub(crate) async fn run() -> Result<Seen, AnyError> {
    let server = MockServer::start().await?;
    let product = Refunds { orchestrator: server.client()? };

    // What the provider will say to the first, the second and every further call.
    server
        .when("billing-api", "request")
        .then(json!({"status": 201, "body": {"id": "re_1"}}))
        .then(Outcome::rejected(402, json!({"error": "already refunded"})))
        .then(Outcome::from(ErrorCode::UpstreamFailed).with_upstream(503, Value::Null));
    let mut refunds = Vec::new();
    for (order, amount) in [("order-1", 5), ("order-2", 7), ("order-3", 9)] {
        refunds.push(product.refund(order, amount).await?);
    }
    let calls = server.calls("billing-api", "request");
    let asked = calls.iter().map(|call| (call.idempotency_key.clone(), call.input["json"]["amount"].clone())).collect();

    // A job that fails once, and whose outcome reaches the product's real handler, signed.
    let inbox = Inbox { verifier: CallbackVerifier::of(SECRET)?, done: Arc::default() };
    server.callback("refunds", &serve(inbox.clone()).await?, SECRET)?;
    server.when("billing-api", "request").then(ErrorCode::Timeout).then(json!({"status": 201}));
    let job = product.refund_later("order-4", 11).await?;
    product.orchestrator.wait_for_job(job, Duration::from_secs(30)).await?;
    server.settled().await;

    // Delivery is at least once: the handler has to stand the same one again.
    for delivery in server.deliveries() {
        server.redeliver(&delivery).await;
    }
    let attempts = server.calls("billing-api", "request").iter().filter(|call| call.job == Some(job)).count();
    let done = inbox.done.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
    let seen = Seen { refunds, asked, done, attempts };
    println!("{seen:#?}");
    Ok(seen)
}

async fn serve(inbox: Inbox) -> Result<String, AnyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/internal/refunds", listener.local_addr()?);
    let app = Router::new().route("/internal/refunds", post(refund_done)).with_state(inbox);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    run().await.map(drop)
}
