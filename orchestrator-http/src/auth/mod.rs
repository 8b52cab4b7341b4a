//! Who may do what: the table of requirements, and the one layer that holds every request against it.

mod caller;
mod layer;
mod liveness;
mod table;

pub use caller::{ControlCaller, ExecCaller};
pub(crate) use layer::authorize;
pub(crate) use liveness::Liveness;
pub use table::{Face, Need, Requirement, Row, TABLE, requirement};
