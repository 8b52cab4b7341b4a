//! Secrets: values that cannot be printed, and the ways they are had.

mod env;
mod file;
mod redact;
pub mod seal;
mod secret;

pub use env::{EnvSecrets, check_env, env_prefix};
pub use file::{FileSecrets, check_file};
pub use redact::{REDACTED, Redactor};
pub use secret::{Secret, SecretError};
