//! Secrets: values that cannot be printed, and the ways they are had.

mod secret;

pub use secret::{Secret, SecretError};
