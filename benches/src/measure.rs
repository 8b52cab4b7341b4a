//! Callers in a closed loop: each makes its next call when the last one has ended.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::AnyError;
use crate::options::Options;

/// What a load did.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Operations that ended, a second.
    pub per_second: f64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

impl Measured {
    /// Of operations that took so long each, and ended within `time`.
    pub fn of(mut took: Vec<Duration>, time: Duration) -> Self {
        took.sort_unstable();
        let at = |share: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "an index"
            )]
            let index = (took.len() as f64 * share) as usize;
            took.get(index.min(took.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Self { per_second: rate(took.len(), time), p50: at(0.5), p99: at(0.99) }
    }
}

/// So many a second.
pub fn rate(count: usize, time: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "no load makes 2^52 operations")]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// Has `in_flight` callers repeat `operation`; what ends during the warm-up does not count.
///
/// # Errors
/// An operation fails.
pub async fn closed_loop<F, A>(in_flight: usize, options: &Options, operation: F) -> Result<Measured, AnyError>
where
    F: Fn() -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), AnyError>> + Send,
{
    let from = Instant::now() + options.warm_up;
    let until = from + options.time;
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let operation = operation.clone();
        callers.spawn(async move {
            let mut took = Vec::new();
            loop {
                let began = Instant::now();
                operation().await?;
                let ended = Instant::now();
                if ended >= until {
                    return Ok::<_, AnyError>(took);
                }
                if ended >= from {
                    took.push(ended - began);
                }
            }
        });
    }
    let mut all = Vec::new();
    while let Some(took) = callers.join_next().await {
        all.extend(took??);
    }
    Ok(Measured::of(all, options.time))
}
