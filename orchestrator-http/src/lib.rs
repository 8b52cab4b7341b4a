//! The HTTP face of the engine: routes, tokens, problem documents, the OpenAPI document.
//!
//! A server is three lines: an [`Api`] over an engine, its [`router`], and [`serve`] on a listener. What the contract
//! promises of transport, tokens and errors is kept here; every decision about the product's things is the engine's.

pub mod auth;
pub mod edge;
pub mod extract;
pub mod metrics;
pub mod oauth;
pub mod problem;
pub mod tokens;

mod api;
mod routes;
mod waiting;

pub use api::{Api, ApiLimits};
pub use edge::{EdgeLimits, serve};
pub use routes::{api_router, control_router, openapi, ops_router, router};
