//! How a call becomes an answer: sending, bounded reading, retrying. Nothing else in this crate touches the network.

mod call;
mod reply;
mod send;
mod service;

pub(crate) use call::{Call, Listener};
pub(crate) use reply::Reply;
pub(crate) use send::{Caller, Settings, Transport};
pub use service::{Body, BoxError, HttpService, Operation};
