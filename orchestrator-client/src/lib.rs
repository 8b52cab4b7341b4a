//! Typed client of the exec and control APIs, and the product's side of callbacks.
//!
//! [`Client`] speaks to a server: calls, jobs and events of a workspace, and through [`Client::workspace`] everything that
//! operators do. [`callback`] is the other direction: it verifies what the server delivers to the product; with the feature
//! `axum` as an extractor.
//!
//! Its one rule: what may have been done is never silently done again. A call is repeated only if it reads, or carries an
//! idempotency key; see [`Retry`].
//!
//! ```no_run
//! use orchestrator_client::Client;
//! use orchestrator_types::ExecuteRequest;
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("https://orchestrator.example").client_credentials("svc:billing", "secret").build()?;
//! let call = ExecuteRequest {
//!     connector: "billing-api".parse()?,
//!     operation: "request".to_owned(),
//!     input: json!({"method": "GET", "path": "/v1/invoices"}),
//!     timeout_ms: None,
//! };
//! let done = client.execute(&call).await?;
//! println!("{}", done.output);
//! # Ok(())
//! # }
//! ```

mod answer;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
pub mod callback;
mod client;
mod code;
mod control;
mod error;
mod events;
mod exec;
mod ingress;
mod jobs;
mod keyed;
mod list;
#[cfg(feature = "mock")]
pub mod mock;
mod ops;
mod payload;
mod retry;
mod token;
mod trace;
mod transport;

pub use answer::{Answer, ETag};
pub use builder::ClientBuilder;
pub use client::Client;
pub use code::ErrorCode;
pub use control::{ConfigChange, Resource, Workspace};
pub use error::{Error, ProblemAnswer, TransportError};
pub use events::{EventFilter, EventQuery};
pub use exec::Payload;
pub use ingress::{WebhookAnswer, WebhookOutcome};
pub use jobs::JobFilter;
pub use keyed::KeyedCall;
pub use list::List;
pub use payload::PayloadBody;
pub use retry::Retry;
pub use token::{ClientCredentials, ClientKey, FileToken, StaticToken, Token, TokenError, TokenSource};
pub use trace::{TraceContext, TraceParent};
pub use transport::{Body, BoxError, HttpService, Operation};
