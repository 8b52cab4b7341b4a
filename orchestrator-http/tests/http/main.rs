//! The HTTP face over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod bundles;
mod contract;
mod control;
mod edge;
mod events;
mod exec;
mod install;
mod kit;
mod ops;
mod payloads;
mod tokens;
mod webhooks;
