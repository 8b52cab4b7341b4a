//! Typed client of the exec and control APIs, and the product's side of callbacks.
//!
//! | door | what for |
//! |---|---|
//! | [`Client`] | calls, jobs and events of a workspace |
//! | [`Client::workspace`] | everything that operators and automation do |
//! | [`callback`] | the other direction: verifies what the server delivers to the product; with the feature `axum` as an extractor |
//! | `blocking` | the same client without `async`; a feature |
//! | `mock` | a server for the tests of products; a feature |
//!
//! Its one rule: what may have been done is never silently done again. A call is repeated only if it reads, or carries an
//! idempotency key; see [`Retry`].
//!
//! # Calls and jobs
//!
//! ```no_run
//! use orchestrator_client::{Client, ErrorCode};
//! use orchestrator_types::ExecuteRequest;
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("https://orchestrator.example").client_credentials("svc:billing", "secret").build()?;
//! let call = ExecuteRequest {
//!     connector: "billing-api".parse()?,
//!     operation: "request".to_owned(),
//!     input: json!({"method": "POST", "path": "/v1/refunds", "json": {"amount": 5}}),
//!     timeout_ms: None,
//! };
//! match client.execute(&call).idempotency_key("order-7".parse()?).await {
//!     Ok(done) => println!("{}", done.output),
//!     Err(error) if error.code() == Some(ErrorCode::UpstreamRejected) => println!("no: {:?}", error.problem()),
//!     Err(error) if error.is_retryable() => println!("later: {:?}", error.retry_after()),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use orchestrator_client::{Client, EventFilter};
//! use orchestrator_types::EventType;
//!
//! # async fn example(client: Client) -> Result<(), orchestrator_client::Error> {
//! let filter = EventFilter { kinds: vec![EventType::JobSucceeded, EventType::JobDead], ..EventFilter::default() };
//! let mut events = client.event_stream(None, filter);
//! while let Some(event) = events.next().await {
//!     let event = event?;
//!     println!("{} {}", event.kind, event.subject);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A workspace
//!
//! ```no_run
//! use orchestrator_client::Client;
//! use orchestrator_types::Policy;
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let workspace = client.workspace(&"buildos-dev".parse()?);
//! let seen = workspace.config().await?;
//! let etag = seen.etag.ok_or("a config has a validator")?;
//! // Refused with 412 if somebody else was faster.
//! workspace.put(&"slow-partner".parse()?, &Policy::default()).if_match(&etag).await?;
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
