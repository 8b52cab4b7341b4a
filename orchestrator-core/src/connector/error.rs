//! How an attempt fails.

use std::time::Duration;

use orchestrator_types::{FieldError, UpstreamView};

/// Why a call was refused before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The connector has no such operation.
    #[error("no such operation")]
    OperationNotFound,
    /// The input is not what the operation takes; the pointers are relative to it.
    #[error("the input is not what the operation takes")]
    InvalidInput(Vec<FieldError>),
}

/// Whether the upstream may have seen the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte of it.
    No,
    /// Perhaps: only what is idempotent may be repeated.
    Maybe,
}

/// How an attempt ended, if not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The upstream refused it for good (4xx): repeating it changes nothing.
    Rejected,
    /// The upstream failed (5xx, 408, 425, 429, a broken answer): it may pass.
    Failed,
    /// The upstream was not reached: DNS, connect, TLS.
    Unreachable,
    /// The address is one that this install does not let calls reach.
    DestinationForbidden,
    /// A secret that the call needs cannot be had now.
    SecretUnavailable,
    /// A payload that the input names is not there, or is lost: repeating the call changes nothing.
    PayloadLost,
}

/// One attempt that failed. The detail is shown to the caller: it names no secret, address or internal of ours.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct CallError {
    /// How.
    pub kind: CallErrorKind,
    /// In a sentence, for the caller.
    pub detail: String,
    /// What the upstream answered, cut to 16 KiB.
    pub upstream: Option<UpstreamView>,
    /// How long the upstream asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether it may have seen the call.
    pub sent: Sent,
}

impl CallError {
    /// An attempt that failed without an answer.
    pub fn new(kind: CallErrorKind, sent: Sent, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), upstream: None, retry_after: None, sent }
    }

    /// An attempt that the upstream answered.
    pub fn answered(kind: CallErrorKind, upstream: UpstreamView, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), upstream: Some(upstream), retry_after: None, sent: Sent::Maybe }
    }

    /// The same, with how long the upstream asked to be left alone.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}
