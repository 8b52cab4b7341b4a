//! Hints, limits and notices on a real Redis: alone, with a password, over TLS, in a cluster; and on its bad days.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_days;
mod checks;
mod connector;
mod fixture;
mod limits;
mod notices;
mod suites;
mod world;
