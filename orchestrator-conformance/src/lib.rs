//! Published behaviour suites for backends and connectors.
//!
//! A backend is right when it behaves as the ports of `orchestrator-core` say. This crate says it a second time, in
//! code: one public function a behaviour, named like a sentence, grouped by concern. [`store_conformance!`] and
//! [`connector_conformance!`] turn all of them into tests of a backend or connector kind with one line.
//!
//! # To prove a store
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use orchestrator_conformance::{ManualClock, store::StoreHarness};
//! use orchestrator_core::memory::MemoryStore;
//! use orchestrator_core::store::Store;
//!
//! #[derive(Default)]
//! struct Memory(ManualClock);
//!
//! #[async_trait]
//! impl StoreHarness for Memory {
//!     async fn store(&self) -> Arc<dyn Store> {
//!         Arc::new(MemoryStore::new(self.0.shared()))
//!     }
//!
//!     fn clock(&self) -> &ManualClock {
//!         &self.0
//!     }
//!
//!     async fn reopen(&self, _store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
//!         None // it is not durable
//!     }
//! }
//!
//! // In a file under `tests/`, with `tokio` (`macros`, `rt-multi-thread`) among the dev-dependencies:
//! orchestrator_conformance::store_conformance!(Memory::default());
//! # fn main() {}
//! ```
//!
//! A second line, [`store_conformance_under_faults!`], runs the same behaviours on stores whose calls fail by a seed and are
//! repeated; [`faults`] has decorators for every port of the engine.
//!
//! Names that begin with `inv_` and a number prove that invariant of the project. A behaviour that does not hold
//! panics with what was expected; none of them sleeps, and each stands alone on a fresh store or connector.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a behaviour that does not hold ends in a panic: that is how a test fails"
)]

mod clock;
pub mod connector;
pub mod faults;
pub mod limiter;
pub mod payload;
pub mod queue;
pub mod servers;
pub mod store;

pub use clock::ManualClock;
