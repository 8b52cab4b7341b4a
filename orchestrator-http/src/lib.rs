//! The HTTP face of the engine: routes, tokens, problem documents, the OpenAPI document.

pub mod access;
pub mod edge;
pub mod extract;
pub mod metrics;
pub mod oauth;
pub mod problem;
pub mod tokens;
