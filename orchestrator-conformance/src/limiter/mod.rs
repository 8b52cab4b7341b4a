//! What every place of shared limits does: one public function a behaviour.
//!
//! [`limiter_conformance!`](crate::limiter_conformance) runs them all against a backend; each may also be called alone.
//!
//! # To write one
//!
//! [`TokenLeases`] hands out tokens in lots. What was handed out counts as spent, so that over any time all nodes together have
//! got no more than `burst` + time / `period`; what was told to be waited for is there then. A limit is of its lane: two lanes
//! share nothing. While the place is away it says so soon, and each node goes on with its share.

pub mod lots;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::policy::rate_limit::lease::TokenLeases;

/// A backend as the suite wants it: one place, in which every limit is rested at first.
#[async_trait]
pub trait LimiterHarness: Send + Sync {
    /// The place, as a further node sees it.
    async fn node(&self) -> Arc<dyn TokenLeases>;
}

/// Proves a place of shared limits: makes a test of every behaviour.
///
/// Takes an expression that makes a [`LimiterHarness`](crate::limiter::LimiterHarness); it is evaluated anew for each test. The
/// crate that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! limiter_conformance {
    ($harness:expr) => {
        $crate::limiter_behaviours! { $harness =>
            lots {
                inv_21_a_rested_limit_gives_its_burst_and_no_more
                inv_21_nodes_together_get_no_more_than_the_burst_and_the_rate
                inv_21_all_that_the_rate_allows_is_given
                what_was_told_to_be_waited_for_is_there
                a_lot_is_no_larger_than_wanted
                inv_15_limits_share_nothing
                inv_21_leases_at_once_share_no_token
                inv_21_a_limit_with_other_numbers_stays_within_them
                there_is_at_least_one_node
            }
        }
    };
}

/// Not to be called: [`limiter_conformance!`](crate::limiter_conformance) does.
#[doc(hidden)]
#[macro_export]
macro_rules! limiter_behaviours {
    ($harness:expr => $($concern:ident { $($behaviour:ident)* })*) => {
        $(
            mod $concern {
                #[allow(unused_imports, reason = "what the harness expression names")]
                use super::*;

                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $behaviour() {
                        let harness = $harness;
                        $crate::limiter::$concern::$behaviour(&harness).await;
                    }
                )*
            }
        )*
    };
}
