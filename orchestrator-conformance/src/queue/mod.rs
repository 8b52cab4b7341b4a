//! What every queue does: one public function a behaviour, a module a concern.
//!
//! [`queue_conformance!`](crate::queue_conformance) runs them all against a backend; each may also be called alone.
//!
//! # To write a queue
//!
//! A queue holds [`JobHint`](orchestrator_core::queue::JobHint)s: ids, never payloads, and never ownership. It may forget at any
//! moment, hand out twice, and be away; the store is asked in each case. So nothing needs to be kept on disk, replicated or
//! acknowledged: hints are popped and forgotten. What matters is that it is *fair* (workspaces take turns, a deep one hides no
//! other), *cheap* (what is paused or full is passed over without being handed out), *prompt* (who waits is woken by an offer of
//! any node), *bounded* (nothing stays for ever), and that no call waits for ever.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use orchestrator_conformance::queue::QueueHarness;
//! use orchestrator_core::clock::SystemClock;
//! use orchestrator_core::queue::{JobQueue, MemoryQueue};
//!
//! struct Memory(Arc<MemoryQueue>);
//!
//! #[async_trait]
//! impl QueueHarness for Memory {
//!     async fn node(&self) -> Arc<dyn JobQueue> {
//!         self.0.clone()
//!     }
//!
//!     async fn lose(&self) {
//!         self.0.lose();
//!     }
//! }
//!
//! orchestrator_conformance::queue_conformance!(Memory(Arc::new(MemoryQueue::new(SystemClock::shared()))));
//! # fn main() {}
//! ```

mod fixture;
pub mod offers;
pub mod turns;
pub mod waits;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::queue::JobQueue;
use orchestrator_core::types::Timestamp;

/// A backend as the suite wants it: one queue, empty at first, that is of this harness alone.
#[async_trait]
pub trait QueueHarness: Send + Sync {
    /// The queue, as a further node sees it.
    async fn node(&self) -> Arc<dyn JobQueue>;

    /// Makes the queue forget everything, as if the place behind it had been started anew.
    async fn lose(&self);

    /// The queue's time.
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

/// Proves a queue: makes a test of every behaviour, in a module a concern.
///
/// Takes an expression that makes a [`QueueHarness`](crate::queue::QueueHarness); it is evaluated anew for each test. The crate
/// that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! queue_conformance {
    ($harness:expr) => {
        $crate::queue_behaviours! { $harness =>
            offers {
                what_was_offered_is_taken_and_forgotten
                a_hint_comes_back_as_it_was_offered
                inv_05_offering_twice_is_offering_once
                the_later_offer_counts
                inv_36_a_time_is_honoured
                what_is_due_comes_before_what_is_not
                a_large_offer_is_taken_whole
                what_is_forgotten_is_gone
                the_depth_counts_what_is_there
                an_empty_offer_is_no_error
                a_look_finds_a_line_each
                inv_05_after_everything_was_lost_it_works_on
            }
            turns {
                inv_14_workspaces_take_turns
                inv_14_small_takes_take_turns_too
                inv_14_every_workspace_has_its_turn
                a_workspace_gives_as_many_as_its_weight
                priority_comes_before_time
                a_take_takes_no_more_than_asked_for
                a_full_workspace_is_passed_over_and_stays
                a_paused_lane_is_passed_over_and_stays
                inv_35_a_deep_paused_lane_hides_nothing
                of_a_limited_lane_only_so_many_are_taken
                inv_15_a_lane_is_of_its_workspace
            }
            waits {
                who_waits_is_woken_by_an_offer_of_any_node
                who_waits_is_woken_when_a_time_comes
                inv_34_who_waits_in_vain_is_told_in_time
                inv_03_takers_at_once_share_no_hint
                inv_22_takes_that_are_dropped_leave_a_queue_that_works
            }
        }
    };
}

/// Not to be called: [`queue_conformance!`](crate::queue_conformance) does.
#[doc(hidden)]
#[macro_export]
macro_rules! queue_behaviours {
    ($harness:expr => $($concern:ident { $($behaviour:ident)* })*) => {
        $(
            mod $concern {
                #[allow(unused_imports, reason = "what the harness expression names")]
                use super::*;

                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $behaviour() {
                        let harness = $harness;
                        $crate::queue::$concern::$behaviour(&harness).await;
                    }
                )*
            }
        )*
    };
}
