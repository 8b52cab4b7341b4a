//! A server for the tests of products: it speaks the exec API over real HTTP, and does what the test says.
//!
//! ```
//! use orchestrator_client::ErrorCode;
//! use orchestrator_client::mock::{MockServer, Outcome};
//! use orchestrator_types::ExecuteRequest;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = MockServer::start().await?;
//! server.when("billing-api", "request").then(ErrorCode::BreakerOpen).then(json!({"status": 201}));
//!
//! let client = server.client()?;
//! let call = ExecuteRequest {
//!     connector: "billing-api".parse()?,
//!     operation: "request".to_owned(),
//!     input: json!({"method": "POST", "path": "/v1/refunds"}),
//!     timeout_ms: None,
//! };
//! // The client comes back by itself after `breaker_open`.
//! assert_eq!(client.execute(&call).await?.output, json!({"status": 201}));
//! assert_eq!(server.calls("billing-api", "request").len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! Its one rule: what it answers is what the contract says a server answers. A test of this crate holds it against the OpenAPI
//! document. It has the exec API, tokens and the ingress, not the control API; jobs run at once, retries of a job wait for
//! nothing, and it keeps nothing when it is dropped.

mod answer;
mod calls;
mod deliveries;
mod events;
mod jobs;
mod outcome;
mod record;
mod refusal;
mod routes;
mod server;
mod state;
mod webhooks;

pub use deliveries::Delivery;
pub use outcome::Outcome;
pub use record::{MockCall, MockRequest};
pub use server::{MockServer, Script};
pub use webhooks::Webhook;
