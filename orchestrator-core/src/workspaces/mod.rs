//! Workspaces: creating, suspending, deleting. Onboarding a product is creating and filling one.

mod service;

pub use service::Workspaces;
pub(crate) use service::{SELF, StoredWorkspace};
