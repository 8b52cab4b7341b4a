//! Secrets: values that cannot be printed, and the ways they are had.

mod env;
mod file;
mod install;
mod redact;
mod resolve;
pub mod seal;
mod secret;
mod service;
mod stored;

pub use env::{EnvSecrets, check_env, env_prefix};
pub use file::{FileSecrets, check_file};
pub use install::{install_secret, read_install_secret};
pub use redact::{REDACTED, Redactor};
pub(crate) use resolve::{Reference, SecretResolver};
pub use secret::{Secret, SecretError};
pub use service::{Replace, Secrets};
pub(crate) use stored::data_key;
