//! Ports that fail by seed: what a backend, or an engine on it, does on a bad day, and the same bad day again.
//!
//! Every port of `orchestrator-core` has a decorator here. Each call through it meets the fate that the [`FaultPlan`] has for
//! the n-th call of its method: none, or one of five.
//!
//! | fault | what is done | what the caller hears |
//! |---|---|---|
//! | [`Before`](Fault::Before) | nothing | an error that says "not now" |
//! | [`After`](Fault::After) | all of it | the same error |
//! | [`Late`](Fault::Late) | all of it, after a while | the answer |
//! | [`Never`](Fault::Never) | all or nothing | nothing, until its own deadline |
//! | [`Cancelled`](Fault::Cancelled) | what was done when the call is dropped in the middle | the same error |
//!
//! One rule: the fate of a call depends on the seed, the method and its number, and on nothing else. Whatever the other methods
//! do, and in whatever order tasks run, the seventh `settle` of seed 42 fails as it failed before. [`Faults::log`] tells what
//! was injected, and [`Faults::stop`] ends the bad day.
//!
//! # A suite under faults
//!
//! [`store_conformance_under_faults!`](crate::store_conformance_under_faults) runs the behaviours of
//! [`store`](crate::store) once more, each on a store whose calls fail and are repeated with the same ids, keys and fences:
//! the behaviours are the same text, and they hold only if repeating changes nothing more (invariant 32). What may be repeated
//! how, and what cannot be, is the table of [`RetryingStore`].

mod callbacks;
mod caller;
mod connectors;
mod harness;
mod injector;
mod leases;
mod payloads;
mod plan;
mod queue;
mod retrying;
mod retrying_payloads;
mod secrets;
mod store;

pub use callbacks::FaultyCallbacks;
pub use connectors::{FaultyConnector, FaultyKind};
pub use harness::UnderFaults;
pub use injector::{Faults, Injected};
pub use leases::FaultyLeases;
pub use payloads::FaultyPayloads;
pub use plan::{Fault, FaultPlan, Rates};
pub use queue::{FaultyNotices, FaultyQueue, FaultySeenKeys};
pub use retrying::RetryingStore;
pub use retrying_payloads::RetryingPayloads;
pub use secrets::{FaultyKeys, FaultySecrets, FaultyVault};
pub use store::FaultyStore;
