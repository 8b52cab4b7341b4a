//! The same client without `async`, for programs and threads that have no runtime.
//!
//! ```no_run
//! use orchestrator_client::{Client, blocking};
//! use orchestrator_types::{ExecuteRequest, JobRequest};
//!
//! # fn example(call: &ExecuteRequest, job: &JobRequest) -> Result<(), orchestrator_client::Error> {
//! let client: blocking::Client = Client::builder("https://orchestrator.example").token("…").build_blocking()?;
//! let done = client.execute(call).send()?;
//! let job = client.submit(job).idempotency_key("order-7".parse().unwrap()).send()?;
//! for event in client.event_stream(None, Default::default()) {
//!     println!("{}", event?.kind);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Its one rule: it never waits on a thread that polls futures. Called from `async` code it answers
//! [`Error::Invalid`](crate::Error::Invalid) and sends nothing; within `spawn_blocking` it is at home.

mod calls;
mod client;
mod runtime;
mod workspace;

pub use calls::{ConfigChange, KeyedCall, List};
pub use client::Client;
pub use workspace::Workspace;
