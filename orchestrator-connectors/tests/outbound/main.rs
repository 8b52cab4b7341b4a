//! Everything outbound, against real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod addresses;
mod callbacks;
mod connector;
mod guard;
mod hostile;
mod upstream;
mod vault;
