//! A connector kind from types: settings, inputs and outputs are structs, an operation is an async function.
//!
//! `serde` reads them and `schemars` describes them. From that a [`TypedKind`] has its schemas, refuses what does not fit
//! (every problem at once, each with its pointer), plans, dispatches, and writes outputs. What a schema cannot say is said
//! by a [`check`](Operation::check).
//!
//! ```
//! use std::sync::Arc;
//!
//! use orchestrator_core::connector::typed::{Operation, TypedKind, TypedKindError};
//! use orchestrator_core::connector::{CallContext, CallError, CallErrorKind, Idempotency, SecretSlots, Sent};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Settings: everything but secrets.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// The sender that people see.
//!     sender: String,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Text {
//!     /// The receiver's number.
//!     #[schemars(regex(pattern = "^\\+[0-9]{7,15}$"))]
//!     to: String,
//!     text: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Receipt {
//!     message: String,
//! }
//!
//! struct Sms {
//!     sender: String,
//!     secrets: SecretSlots,
//! }
//!
//! impl Sms {
//!     async fn send(self: Arc<Self>, context: CallContext, input: Text) -> Result<Receipt, CallError> {
//!         let missing = || CallError::new(CallErrorKind::SecretUnavailable, Sent::No, "the token cannot be had");
//!         let token = self.secrets.get("token").await.map_err(|_| missing())?.ok_or_else(missing)?;
//!         # let (_, _, _) = (token, &self.sender, &input.text);
//!         // One request to the gateway, with `context.subject` as its idempotency key.
//!         Ok(Receipt { message: format!("{} to {}", context.subject, input.to) })
//!     }
//! }
//!
//! fn kind() -> Result<TypedKind<Settings, Sms>, TypedKindError> {
//!     TypedKind::builder("sms", "Sends text messages.", |settings: Settings, secrets| {
//!         Ok(Sms { sender: settings.sender, secrets })
//!     })
//!     .slot("token")
//!     .operation(Operation::new("send", "Sends one message.", Sms::send).idempotency(Idempotency::ByKey))
//!     .build()
//! }
//! # kind().unwrap();
//! ```
//!
//! **The one rule:** what an operation's function is given has passed its schema and its check.

mod connector;
mod kind;
mod operation;
mod shape;

pub use kind::{TypedKind, TypedKindBuilder, TypedKindError};
pub use operation::Operation;
