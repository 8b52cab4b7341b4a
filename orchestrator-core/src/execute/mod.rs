//! Synchronous calls: one call through a connector under its policy, recorded so that it can be explained.

mod attempt;
mod call;
mod decision;
mod failure;
mod recorder;
mod service;
mod trace;
mod waterfall;

pub(crate) use attempt::redact;
pub(crate) use attempt::{Attempt, ConnectorAttempt};
pub(crate) use call::{CallFault, CallRequest, CallStack, JobCall, call_stack};
pub use failure::CallFailure;
pub(crate) use failure::error_view;
pub(crate) use recorder::Recorder;
pub use service::{Call, Executed, Executions};
pub(crate) use service::{execute, plan};
