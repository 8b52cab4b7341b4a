//! Connectors: the ways out. An integrator implements [`ConnectorKind`] and [`Connector`] with this crate alone.
//!
//! A *kind* is compiled in: it describes its settings, secret slots and operations, and builds a *connector* from a
//! workspace's settings. A connector is asked twice for each call: first to [`plan`](Connector::plan) it (is there such
//! an operation, is the input sound, may it be repeated), then, once the policies admit it, to [`call`](Connector::call).
//! Operators may ask for its [`health`](Connector::health) besides.
//!
//! **The one rule:** a connector makes one attempt and says truly how it ended. Retries, limits, deadlines and the
//! breaker are the policies' work; a future that is dropped must leave nothing behind.

mod check;
mod error;
mod kind;
mod registry;
mod secrets;
pub mod typed;

pub use check::Connectors;
pub(crate) use check::RunningChecks;
pub use error::{CallError, CallErrorKind, PlanError, Sent};
pub use kind::{CallContext, CallPlan, Connector, ConnectorKind, HealthCheck, KindDescription, OperationDescription};
pub use orchestrator_types::Idempotency;
pub use registry::{ConnectorRegistry, RegistryError};
pub use secrets::{SecretSlots, SecretSource};
