//! The engine of Orchestrator: policies, tenancy, jobs, webhooks, config versions, and the ports that backends implement.
//!
//! Three doors, each usable without the next: the [policy layers](policy) over any `tower::Service`; the [engine](Orchestrator)
//! embedded in a program; the server around it.

pub mod access;
pub mod audit;
pub mod callback;
pub mod clock;
pub mod config;
pub mod connector;
pub mod events;
pub mod execute;
pub mod jobs;
pub mod memory;
pub mod payload;
pub mod policy;
pub mod queue;
pub mod secrets;
pub mod store;
pub mod webhooks;
pub mod worker;
pub mod workspaces;

mod actor;
mod builder;
mod engine;
mod error;
mod finish;
mod hub;
mod orchestrator;
mod retention;
mod store_time;

pub use actor::{Actor, Reason};
pub use builder::{BuildError, Builder, environment_of};
pub use error::Error;
pub use finish::Finish;
pub use orchestrator::{Health, Orchestrator};
pub use orchestrator_types as types;
