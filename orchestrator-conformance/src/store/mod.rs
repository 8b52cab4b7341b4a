//! What every store does: one public function a behaviour, a module a concern.
//!
//! [`store_conformance!`](crate::store_conformance) runs them all against a backend; each may also be called alone.
//! A backend that is not durable answers `None` to [`StoreHarness::reopen`], and what speaks of reopening is skipped.

pub mod control;
pub mod events;
mod fixture;
pub mod jobs_accept;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::store::Store;

use crate::ManualClock;

/// A backend as the suite wants it: fresh, and with a clock that the suite moves.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// A new empty store that takes its time from [`clock`](Self::clock). Never one that was answered before.
    async fn store(&self) -> Arc<dyn Store>;

    /// The clock of the stores.
    fn clock(&self) -> &ManualClock;

    /// The same store as after a restart of the process: closed, and opened again from what is durable.
    /// `None` if nothing is.
    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>>;
}

/// Proves a store: makes a test of every behaviour, in a module a concern.
///
/// Takes an expression that makes a [`StoreHarness`](crate::store::StoreHarness); it is evaluated anew for each test.
/// The crate that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($harness:expr) => {
        $crate::store_behaviours! { $harness =>
            control {
                a_record_is_there_after_its_commit
                a_version_grows_by_one_with_each_write
                an_expected_absence_refuses_what_is_there
                an_expected_version_refuses_any_other
                a_change_happens_whole_or_not_at_all
                several_writes_are_one_change
                a_deleted_record_is_gone
                records_are_paged_by_key
                inv_13_owners_and_kinds_are_apart
                the_epoch_tells_who_changed
                workspaces_are_those_with_their_record
                inv_30_of_a_hundred_racers_one_wins
            }
            events {
                events_come_back_in_the_order_of_their_appending
                an_id_carries_its_number
                inv_09_events_are_gapless_and_ordered_under_a_hundred_writers
                inv_13_workspaces_count_their_own_events
                a_filter_takes_by_type_subject_and_trace
                a_filtered_reader_reads_on_from_where_it_scanned_to
                inv_37_a_search_is_bounded_and_goes_on
                nothing_comes_after_the_end
            }
            jobs_accept {
                an_accepted_job_is_there
                a_job_without_a_time_may_run_at_once
                acceptance_writes_its_events
                acceptance_writes_its_audit_record
                the_same_id_twice_is_once
                inv_32_a_repeated_acceptance_changes_nothing
                inv_08_a_key_answers_again
                inv_08_a_key_refuses_another_request
                inv_08_a_key_expires
                inv_08_a_hundred_with_one_key_make_one_job
                a_list_is_paged_newest_first
                a_list_filters_by_status_and_connector
                inv_33_odd_rows_survive_byte_for_byte
                inv_33_strangers_do_not_pay_for_an_odd_row
                an_empty_call_is_no_error
            }
        }
    };
}

/// Not to be called: [`store_conformance!`](crate::store_conformance) does.
#[doc(hidden)]
#[macro_export]
macro_rules! store_behaviours {
    ($harness:expr => $($concern:ident { $($behaviour:ident)* })*) => {
        $(
            mod $concern {
                #[allow(unused_imports, reason = "what the harness expression names")]
                use super::*;

                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $behaviour() {
                        let harness = $harness;
                        $crate::store::$concern::$behaviour(&harness).await;
                    }
                )*
            }
        )*
    };
}
