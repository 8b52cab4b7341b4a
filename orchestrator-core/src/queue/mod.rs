//! The port to the queue: which jobs may be ready. It holds hints, never truth and never ownership: losing all of it delays
//! work by one reconcile at most, and loses none.
//!
//! The store says what became ready ([`CommitWatch::ready`](crate::store::CommitWatch::ready)), after its commit. The engine
//! [offers](JobQueue::offer) that; a worker [takes](JobQueue::take) hints, and claims in the store the jobs that they name
//! ([`claim_named`](crate::store::JobStore::claim_named)), which alone makes them its own. A hint that is forged, stale or
//! handed out twice claims nothing. What the queue forgot, the reconciler offers again; while the queue is away, workers
//! claim from the store without it.

mod hint;
mod link;
mod memory;
mod notices;
mod port;
mod seen;

pub use hint::JobHint;
pub(crate) use link::Link;
pub use memory::MemoryQueue;
pub use notices::ConfigNotices;
pub use port::{Finding, JobQueue, Level, QueueAway, Take};
pub use seen::SeenKeys;
