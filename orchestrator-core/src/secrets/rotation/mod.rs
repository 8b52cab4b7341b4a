//! The install's key is rotated while everything runs: what other keys sealed is sealed again by a new one.
//!
//! ```text
//!   asked for ──► announced ── no node objects ──► running ── a pass finds nothing ──► done
//!                     └── a node lacks the key ──► failed ◄── something does not open ──┘
//! ```
//!
//! One rule: nothing is sealed by a key before every node can open it. A rotation is announced in the store; every node
//! looks there within half a second, reads its key files anew, and objects if it lacks the key. What is sealed again is
//! told by each record itself, so a rotation that broke off is taken up by any node, and two that work at once do no harm.

mod follow;
mod record;
mod run;
mod service;
mod usage;

pub(crate) use follow::{follow, resume};
pub use service::Keys;
pub use usage::{KeyUsage, Used, key_usage};
