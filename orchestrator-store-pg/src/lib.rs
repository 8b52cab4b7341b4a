//! The store on Postgres: everything durable, and alone also the queue, for any number of nodes.
//!
//! | module | holds |
//! |---|---|
//! | `options`, `open`, `schema` | where the database is, how it is opened, its migrations |
//! | `session` | connections that act as the application's role, and transactions that name their workspaces |
//! | `shared`, `store` | what the parts share; the store as a whole |
//! | `committer`, `lanes` | group commit: what waits is written by one statement; a lane for each step that is taken most |
//! | `notices` | one coalesced hint a node, so that the other nodes look |
//! | `control`, `events`, `inbox`, `jobs`, `payloads`, `requests` | the ports, each statement beside the function that uses it |
//! | `rows`, `text`, `arrays` | rows and what they mean; what many callers write, as one parameter |
//!
//! The steps that are taken most are functions in the database (`migrations`): one round trip and one commit for everybody
//! who waits. Each tenant's table has row-level security: a transaction sees the workspaces that it has named.

mod arrays;
mod committer;
mod control;
mod events;
mod failure;
mod inbox;
mod jobs;
mod kept;
mod lanes;
mod notices;
mod open;
mod options;
mod payloads;
mod requests;
mod rows;
mod schema;
mod session;
mod shared;
mod store;
mod text;

pub use open::{Inspection, OpenError};
pub use options::PgOptions;
pub use store::PgStore;
