//! The engine of Orchestrator: policies, tenancy, jobs, webhooks, config versions, and the ports that backends implement.
//!
//! Three doors, each usable without the next: the policy layers over any `tower::Service`; the engine embedded
//! in a program; the server around it.

pub mod audit;
pub mod callback;
pub mod clock;
pub mod connector;
pub mod memory;
pub mod secrets;
pub mod store;

pub use orchestrator_types as types;
