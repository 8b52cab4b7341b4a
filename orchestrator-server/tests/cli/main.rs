//! The real binary: started, spoken to and stopped as an operator does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod bundles;
mod canary;
mod databases;
mod doctor;
mod jobs;
mod keys;
mod kit;
mod policies;
mod queues;
mod serving;
mod webhooks;
mod workspaces;
