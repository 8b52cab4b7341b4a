//! What is measured while a scenario runs: bounded in memory by the scenario's length, whatever comes.

mod histogram;
mod observer;
mod recorder;
mod recovery;

pub(crate) use histogram::Histogram;
pub(crate) use observer::Watch;
pub(crate) use recorder::{Measure, PhaseCounts, Second, Shared, Transition, World};
pub(crate) use recovery::recovered_after;
