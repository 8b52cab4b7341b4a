//! Secrets: values that cannot be printed, and the ways they are had.

mod cache;
mod env;
mod file;
mod health;
mod install;
mod keys;
mod redact;
mod resolve;
mod rotation;
pub mod seal;
mod secret;
mod service;
mod stored;
mod vault;

pub use env::{EnvSecrets, check_env, env_prefix};
pub use file::{FileSecrets, check_file};
pub use health::SecretCounts;
pub(crate) use health::{SecretBoard, watch};
pub use install::{install_secret, read_install_secret};
pub use keys::{InstallKeys, KeySource, KeySourceError};
pub use redact::{REDACTED, Redactor};
pub(crate) use resolve::{Reference, SecretOrigins, SecretResolver};
pub use rotation::{KeyUsage, Keys, Used, key_usage};
pub(crate) use rotation::{follow, resume};
pub use secret::{Secret, SecretError};
pub use service::{Replace, Secrets};
pub(crate) use stored::data_key;
pub(crate) use vault::VaultSecrets;
pub use vault::{VaultPath, VaultPrefix, VaultReader, VaultValue};
