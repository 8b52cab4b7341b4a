//! The engine as a whole, on the store in memory and on paused time: what the contract promises, and the invariants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "tests")]

mod access;
mod audit;
mod bundles;
mod callbacks;
mod checks;
mod clocks;
mod config;
mod dead_letters;
mod execute;
mod fixture;
mod follow;
mod idempotency;
mod isolation;
mod jobs;
mod keys;
mod limits;
mod misroute;
mod payloads;
mod policies;
mod product;
mod queue;
mod script;
mod secrets;
mod webhooks;
mod worker;
mod workspaces;
