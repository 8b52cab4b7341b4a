//! The client against a small server on a loopback socket that does as each test says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod blocking;
mod callbacks;
mod control;
mod events;
mod extractor;
mod files;
mod jobs;
mod layers;
mod mock;
mod problems;
mod retries;
mod server;
mod tokens;
