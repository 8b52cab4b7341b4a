//! What a result means for the policies. One classifier serves the retry and the breaker, so that they never disagree
//! about what a failure is.

use std::time::Duration;

use tower::BoxError;

use super::rejection::{AttemptTimedOut, BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimited};

/// Whether the upstream may have seen the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Surely nothing of it was sent: sending it again cannot do anything twice.
    No,
    /// Some of it may have been sent: only what is idempotent may be sent again.
    Maybe,
}

/// What a result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The upstream did what was asked.
    Success,
    /// A failure that may pass. The breaker counts it.
    Retryable {
        /// When the upstream asked to come back, where it did.
        retry_after: Option<Duration>,
        /// Whether the upstream may have seen the request.
        sent: Sent,
    },
    /// An answer that will not change. It counts as a success for the breaker: the upstream is alive.
    Final,
    /// Says nothing about the upstream: neither retried nor counted.
    Ignored,
}

/// Tells what a result means.
///
/// A stack gives it the errors that its own layers made as well: [`AttemptTimedOut`] is best [`Class::Retryable`] with
/// [`Sent::Maybe`], and [`BreakerOpen`] is best [`Class::Final`] (the retry then gives up at once; the breaker never
/// counts its own refusals).
pub trait Classify<Res, Err> {
    /// The class of `result`.
    fn classify(&self, result: Result<&Res, &Err>) -> Class;
}

/// A [`Classify`] from a function. Made by [`classify_fn`].
#[derive(Debug, Clone, Copy)]
pub struct ClassifyFn<F>(F);

/// Classifies by a function.
///
/// ```
/// use orchestrator_core::policy::{Class, Classify, Sent, classify_fn};
///
/// let classify = classify_fn(|result: Result<&u16, &std::io::Error>| match result {
///     Ok(500..) => Class::Retryable { retry_after: None, sent: Sent::Maybe },
///     Ok(400..) => Class::Final,
///     Ok(_) => Class::Success,
///     Err(_) => Class::Retryable { retry_after: None, sent: Sent::No },
/// });
/// assert_eq!(classify.classify(Ok(&404)), Class::Final);
/// ```
pub fn classify_fn<F, Res, Err>(function: F) -> ClassifyFn<F>
where
    F: Fn(Result<&Res, &Err>) -> Class,
{
    ClassifyFn(function)
}

impl<F, Res, Err> Classify<Res, Err> for ClassifyFn<F>
where
    F: Fn(Result<&Res, &Err>) -> Class,
{
    fn classify(&self, result: Result<&Res, &Err>) -> Class {
        (self.0)(result)
    }
}

/// Every answer is a success, and an error says nothing: for layers that only look at answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassifyAnswers;

impl<Res, Err> Classify<Res, Err> for ClassifyAnswers {
    fn classify(&self, result: Result<&Res, &Err>) -> Class {
        if result.is_ok() { Class::Success } else { Class::Ignored }
    }
}

/// For services whose error is a [`BoxError`]: every answer is a success and every error a failure that may have been
/// sent, save the rejections of the policies themselves, which are final.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassifyErrors;

impl<Res> Classify<Res, BoxError> for ClassifyErrors {
    fn classify(&self, result: Result<&Res, &BoxError>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(error) if error.is::<AttemptTimedOut>() => Class::Retryable { retry_after: None, sent: Sent::Maybe },
            Err(error)
                if error.is::<BreakerOpen>()
                    || error.is::<RateLimited>()
                    || error.is::<ConcurrencyLimited>()
                    || error.is::<DeadlineExceeded>() =>
            {
                Class::Final
            }
            Err(_) => Class::Retryable { retry_after: None, sent: Sent::Maybe },
        }
    }
}
