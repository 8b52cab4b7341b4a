//! The HTTP face of the engine: routes, tokens, problem documents, the OpenAPI document.

pub mod tokens;
