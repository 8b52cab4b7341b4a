//! Workspaces: creating, suspending, deleting. Onboarding a product is creating and filling one.

mod service;

pub(crate) use service::{SELF, StoredWorkspace};
pub use service::Workspaces;
