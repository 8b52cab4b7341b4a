//! The events of a workspace: in one total order, none skipped. By page, or as a stream that outlives its connections.

mod follow;
mod page;
mod sse;

pub use follow::EventFilter;
pub use page::EventQuery;
