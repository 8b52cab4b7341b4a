//! What every payload store does: one public function a behaviour, a module a concern.
//!
//! [`payload_conformance!`](crate::payload_conformance) runs them all against a backend; each may also be called alone.
//! A backend that is not durable answers `None` to [`PayloadHarness::reopen`], and what speaks of reopening is skipped.

mod fixture;
pub mod listing;
pub mod objects;
pub mod ranges;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::payload::PayloadStore;

/// A backend as the suite wants it.
#[async_trait]
pub trait PayloadHarness: Send + Sync {
    /// A new empty payload store. Never one that was answered before.
    async fn store(&self) -> Arc<dyn PayloadStore>;

    /// The same store as after a restart of the process. `None` if nothing of it is durable.
    async fn reopen(&self, store: Arc<dyn PayloadStore>) -> Option<Arc<dyn PayloadStore>>;
}

/// Proves a payload store: makes a test of every behaviour, in a module a concern.
///
/// Takes an expression that makes a [`PayloadHarness`](crate::payload::PayloadHarness); it is evaluated anew for each test.
/// The crate that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! payload_conformance {
    ($harness:expr) => {
        $crate::payload_behaviours! { $harness =>
            objects {
                what_was_put_is_read_back
                an_empty_object_is_an_object
                a_large_object_comes_in_pieces
                inv_32_an_object_is_written_once
                inv_44_a_body_that_breaks_off_leaves_nothing
                inv_22_a_put_that_is_dropped_leaves_nothing_to_read
                of_many_at_once_one_writes_a_key
                what_is_not_there_is_told
                a_deleted_object_is_gone
                an_object_survives_a_restart
                it_says_that_it_is_well
            }
            ranges {
                a_part_is_read_alone
                a_range_is_cut_at_the_end
                a_range_past_the_end_is_empty
            }
            listing {
                objects_are_listed_in_the_order_of_their_ids
                inv_35_a_list_is_paged_by_key
                inv_44_a_workspace_lists_and_reads_its_own
                inv_16_environments_are_apart
            }
        }
    };
}

/// Not to be called: [`payload_conformance!`](crate::payload_conformance) does.
#[doc(hidden)]
#[macro_export]
macro_rules! payload_behaviours {
    ($harness:expr => $($concern:ident { $($behaviour:ident)* })*) => {
        $(
            mod $concern {
                #[allow(unused_imports, reason = "what the harness expression names")]
                use super::*;

                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $behaviour() {
                        let harness = $harness;
                        $crate::payload::$concern::$behaviour(&harness).await;
                    }
                )*
            }
        )*
    };
}
