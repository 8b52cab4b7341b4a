//! Webhooks: events that providers send, taken in once and handed to the workspace whose they are.

mod inbox;
mod ingest;
mod notice;
pub mod signature;

pub use inbox::Inbox;
pub use ingest::{Ingress, Webhooks};
pub(crate) use notice::Notices;
