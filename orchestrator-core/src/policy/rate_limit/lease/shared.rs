//! Shared limits inside a process: exact, and gone with it. For several engines in one program, and for tests.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Lease, LeasesAway, LimitKey, SharedLimit, TokenLeases};
use crate::policy::sync::{Mutex, PoisonError};

/// More lanes than this are not remembered at once.
const MOST: usize = 100_000;

/// Shared limits inside a process.
#[derive(Debug)]
pub struct SharedTokens {
    nodes: u32,
    origin: Instant,
    /// When the next token of each lane is due, after the origin: GCRA's one number.
    arrivals: Mutex<HashMap<LimitKey, Duration>>,
}

impl SharedTokens {
    /// For so many engines.
    #[must_use]
    pub fn between(nodes: u32) -> Self {
        Self { nodes: nodes.max(1), origin: Instant::now(), arrivals: Mutex::default() }
    }

    fn grant(&self, limit: &SharedLimit, want: u32) -> Lease {
        let now = self.origin.elapsed();
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() >= MOST && !arrivals.contains_key(&limit.lane) {
            // Those that are rested again are as good as new.
            arrivals.retain(|_, arrival| *arrival > now);
            if arrivals.len() >= MOST {
                return Lease { tokens: 0, retry_after: limit.period };
            }
        }
        let arrival = arrivals.entry(limit.lane.clone()).or_default();
        let (tokens, next, retry_after) = grant(*arrival, now, limit.period, limit.burst, want);
        *arrival = next;
        Lease { tokens, retry_after }
    }
}

/// GCRA for a lot: how many of the wanted tokens there are, the next arrival, and how long until there is one.
fn grant(arrival: Duration, now: Duration, period: Duration, burst: u32, want: u32) -> (u32, Duration, Duration) {
    let period = period.max(Duration::from_nanos(1));
    let arrival = arrival.max(now);
    let room = (period.saturating_mul(burst)).saturating_sub(arrival - now);
    let there = u32::try_from(room.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX);
    let tokens = there.min(want);
    let next = arrival.saturating_add(period.saturating_mul(tokens));
    let retry_after = if tokens == 0 { period - room.min(period) } else { Duration::ZERO };
    (tokens, next, retry_after)
}

#[async_trait]
impl TokenLeases for SharedTokens {
    async fn lease(&self, limit: &SharedLimit, want: u32) -> Result<Lease, LeasesAway> {
        Ok(self.grant(limit, want))
    }

    fn nodes(&self) -> u32 {
        self.nodes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Over any window of lots: no more than the burst and the rate allow; and what was told to be waited for is there.
        #[test]
        fn inv_21_lots_never_exceed_the_burst_and_the_rate(
            period in 1_u64..100_000_000, burst in 1_u32..200,
            steps in proptest::collection::vec((0_u64..1_000_000_000, 1_u32..300), 1..80),
        ) {
            let period = Duration::from_nanos(period);
            let (mut arrival, mut now, mut lots) = (Duration::ZERO, Duration::ZERO, Vec::new());
            for (wait, want) in steps {
                now += Duration::from_nanos(wait);
                let (tokens, next, retry_after) = grant(arrival, now, period, burst, want);
                arrival = next;
                lots.push((now, tokens));
                if tokens == 0 {
                    prop_assert!(retry_after > Duration::ZERO && retry_after <= period);
                    prop_assert_eq!(grant(arrival, now + retry_after, period, burst, 1).0, 1);
                }
            }
            for first in 0..lots.len() {
                let mut tokens = 0;
                for (at, lot) in &lots[first..] {
                    tokens += u128::from(*lot);
                    let allowed = u128::from(burst) + (*at - lots[first].0).as_nanos() / period.as_nanos() + 1;
                    prop_assert!(tokens <= allowed);
                }
            }
        }
    }
}
