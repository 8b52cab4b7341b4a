//! Who may call: operators with their roles, and service identities.

mod identities;
mod operators;

pub use identities::{Identities, Identity};
pub use operators::Operators;
pub(crate) use operators::check_bundled;
