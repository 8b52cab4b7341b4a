//! The embedded store: everything durable in one SQLite file.
//!
//! | module | holds |
//! |---|---|
//! | `open` | the file, its lock, its schema, the readers |
//! | `writer` | the one task that writes: group commit |
//! | `op`, `batch` | one thing to write; one transaction |
//! | `control`, `events`, `inbox`, `jobs`, `payloads`, `requests` | the ports, each statement beside the function that uses it |
//! | `rows` | rows and what they mean |
//!
//! One rule: everything is written by the writer, and nobody is answered before the commit.

mod batch;
mod control;
mod events;
mod inbox;
mod jobs;
mod op;
mod open;
mod payloads;
mod requests;
mod rows;
mod store;
mod writer;

pub use open::{OpenError, SqliteStore};
