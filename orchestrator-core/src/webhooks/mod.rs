//! Webhooks: events that providers send, taken in once and handed to the workspace whose they are.

pub mod signature;
