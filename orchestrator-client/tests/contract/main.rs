//! The client against the OpenAPI document that the server generates from its code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod codes;
mod document;
mod mock;
mod routes;
