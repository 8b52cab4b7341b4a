//! Everything outbound, against real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod addresses;
mod callbacks;
mod certificates;
mod connector;
mod guard;
mod hostile;
mod httpbin;
mod kit;
mod oauth2;
mod operations;
mod pages;
mod payloads;
mod proxies;
mod stripe;
mod upstream;
mod vault;
