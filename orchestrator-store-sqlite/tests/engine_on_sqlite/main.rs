//! The engine on a file: what was acknowledged is there after a restart, and what was under way goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod connector;
mod restarts;
