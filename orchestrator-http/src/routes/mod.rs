//! The handlers, a file a resource: each parses, calls one service, shapes the answer. Decisions are the engine's.

mod answers;
mod assembly;
mod audit;
mod bundle;
mod config;
mod configs;
mod connector_kinds;
mod connectors;
mod dlq;
mod docs;
mod document;
mod events;
mod execute;
mod identities;
mod inbox;
mod jobs;
mod operators;
mod ops;
mod pages;
mod payloads;
mod requests;
mod resources;
mod secrets;
mod stream;
mod token;
mod webhooks;
mod workspaces;

pub use assembly::{api_router, control_router, openapi, ops_router, router};
