//! Durable jobs: accepting, watching, cancelling; and those that were given up.

mod dead;
mod service;
mod view;

pub use dead::DeadLetters;
pub use service::{JobCall, Jobs, Submitted};
