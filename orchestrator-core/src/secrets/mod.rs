//! Secrets: values that cannot be printed, and the ways they are had.

pub mod seal;
mod secret;

pub use secret::{Secret, SecretError};
