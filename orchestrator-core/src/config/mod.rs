//! Config versions: everything that describes a workspace is one document; a change makes a new immutable version; a
//! pointer says which is live. Rollback, diff, export, import and dry run are the same few functions.

pub mod bundle;
mod clear_text;
mod diff;
pub(crate) mod document;
pub(crate) mod live;
mod resource;
mod service;
mod states;
mod template;
mod validate;

pub(crate) use diff::changes;
pub(crate) use document::{StoredPointer, StoredVersion, content_hash, routes_of, version_key};
pub(crate) use live::{LiveConfig, LiveConnector, Snapshots};
pub use resource::ResourceKind;
pub use service::{Active, Configs, Saved};
pub(crate) use states::PolicyStates;
pub use template::template;
pub(crate) use validate::validate;
