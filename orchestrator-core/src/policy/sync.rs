//! The few things that threads share. Built with `--cfg interleavings` they are loom's, so that every interleaving of the
//! shared state can be explored (`cargo xtask interleavings`); else they are the standard library's.

#[cfg(not(interleavings))]
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, atomic};

#[cfg(interleavings)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(interleavings)]
pub(crate) use std::sync::PoisonError;
