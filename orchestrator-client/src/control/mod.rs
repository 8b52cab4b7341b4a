//! The control API: what operators and automation do to a workspace. Reached through [`Client::workspace`](crate::Client::workspace).

mod access;
mod audit;
mod bundle;
mod change;
mod configs;
mod connectors;
mod dlq;
mod inbox;
mod resources;
mod secrets;
mod workspace;

pub use change::ConfigChange;
pub use resources::Resource;
pub use workspace::Workspace;
