//! What every store does: one public function a behaviour, a module a concern.
//!
//! [`store_conformance!`](crate::store_conformance) runs them all against a backend; each may also be called alone.
//! A backend that is not durable answers `None` to [`StoreHarness::reopen`], and what speaks of reopening is skipped.

pub mod audit;
pub mod control;
pub mod dead_letters;
pub mod durability;
pub mod events;
mod fixture;
pub mod inbox;
pub mod isolation;
pub mod jobs_accept;
pub mod jobs_claim;
pub mod jobs_named;
pub mod jobs_settle;
pub mod leases;
pub mod ordering;
pub mod payloads;
pub mod requests;
pub mod retention;
pub mod routes;
pub mod watch;

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
            routes {
                a_route_is_found_by_what_names_it
                inv_17_an_account_is_of_one_workspace
                inv_30_a_taken_route_leaves_nothing_changed
                a_change_replaces_its_own_routes
                inv_17_a_route_that_stays_keeps_its_standing
                inv_17_an_unverified_route_yields_after_a_day
                inv_17_a_verified_route_does_not_yield
                an_administrator_takes_a_route
                a_default_route_is_had_by_eight_workspaces_and_no_ninth
                the_routes_of_a_provider_are_found_whatever_names_them
                inv_17_of_many_one_gets_the_account
            }
            audit {
                inv_28_a_record_is_read_back_as_written
                inv_28_each_owner_has_its_chain
                inv_28_writers_at_once_make_one_chain
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
            jobs_claim {
                inv_04_a_claim_counts_the_attempt
                what_runs_or_has_ended_is_not_claimed
                a_claim_takes_no_more_than_asked_for
                priority_comes_before_the_order_of_acceptance
                the_order_is_of_acceptance_not_of_ids
                inv_36_a_time_is_honoured_by_the_stores_clock
                inv_36_a_jump_of_the_clock_makes_ready_what_is_due
                the_next_due_time_is_told
                the_next_due_time_knows_of_retries
                inv_14_a_backlog_does_not_delay_a_neighbour
                inv_14_small_claims_take_turns_too
                inv_14_every_workspace_has_its_turn
                a_claim_takes_no_more_of_one_workspace_than_it_may
                a_full_workspace_is_passed_over
                a_paused_lane_is_passed_over
                of_a_limited_lane_only_so_many_are_taken
                inv_14_paused_workspaces_do_not_hide_a_neighbour
                inv_35_paused_rows_do_not_hide_what_is_due
                inv_35_scheduled_rows_do_not_hide_what_is_due
                inv_03_claimers_never_share_a_job
                the_queue_tells_how_it_stands
            }
            jobs_named {
                inv_04_a_named_job_is_claimed_and_counted
                what_is_named_is_taken_in_that_order_and_once
                inv_05_a_forged_hint_claims_nothing
                inv_13_a_job_is_not_claimed_under_a_foreign_name
                inv_36_a_named_job_waits_for_its_time
                inv_10_a_named_job_waits_for_those_before_it
                inv_04_what_lost_a_lease_is_not_claimed_by_name
                inv_03_named_and_plain_claims_never_share_a_job
                the_heads_are_the_first_of_each_lane
                the_heads_are_paged_by_workspace
                the_heads_are_what_could_be_claimed
            }
            jobs_settle {
                a_success_is_written
                a_retry_is_written
                a_death_is_written
                inv_12_a_job_given_back_consumes_no_attempt
                a_job_may_be_given_back_until_a_time
                inv_03_a_stale_settle_changes_nothing
                inv_32_a_repeated_settle_changes_nothing
                a_settlement_writes_what_it_causes
                inv_33_settlements_of_a_batch_stand_alone
                inv_03_of_many_settles_one_wins
                a_queued_job_is_cancelled
                a_running_job_is_cancelled
                what_has_ended_is_not_cancelled
            }
            ordering {
                inv_10_jobs_of_a_key_run_one_at_a_time_in_order
                inv_10_a_key_is_of_its_workspace
                inv_10_a_retrying_head_holds_those_behind_it
                inv_10_a_scheduled_head_holds_those_behind_it
                inv_10_a_paused_head_holds_those_behind_it
                inv_10_a_head_given_back_stays_the_head
                inv_10_a_dead_head_lets_go
                inv_10_a_cancelled_head_lets_go
                inv_10_a_head_that_lost_its_lease_holds_those_behind_it
                inv_10_a_replayed_job_does_not_overlap_the_running_one
                inv_10_many_claimers_keep_the_order
            }
            leases {
                a_renewed_lease_lasts
                who_renews_is_told_what_is_lost
                inv_36_a_lease_ends_by_the_stores_clock
                inv_03_a_rescued_jobs_first_worker_settles_nothing
                a_lost_lease_is_told
                an_ended_lease_that_nobody_took_still_settles
                inv_04_what_lost_a_lease_is_claimed_apart
                inv_04_a_job_that_lost_three_leases_is_poison
                inv_04_poison_is_handed_out_until_it_is_settled
                inv_35_a_rescue_is_bounded_and_goes_on
                a_replayed_job_leaves_quarantine
            }
            dead_letters {
                the_list_shows_what_is_dead
                the_list_filters
                a_replayed_job_begins_anew
                inv_39_a_replay_is_paced
                inv_39_a_replay_tells_what_became_of_each
                inv_39_a_purge_takes_the_dead_only
                inv_39_ten_replays_at_once_move_each_once
                inv_39_replays_and_purges_at_once_share_nothing
            }
            inbox {
                a_webhook_is_taken_in_whole
                inv_07_a_duplicate_enqueues_nothing
                inv_07_another_body_is_a_conflict
                inv_07_of_two_hundred_deliveries_one_wins
                inv_07_the_same_id_of_another_sender_is_no_duplicate
                inv_32_a_repeated_ingest_enqueues_nothing
                inv_07_deduplication_survives_retention
                the_list_is_paged_newest_first
                a_webhook_may_have_no_job
                a_redelivery_is_noted
                a_redelivery_of_nothing_enqueues_nothing
                inv_39_a_purged_delivery_is_noted_at_its_entry
                an_entry_is_noted_by_its_delivery
            }
            requests {
                inv_08_the_first_makes_the_call
                inv_08_an_answer_is_kept_for_its_time
                inv_08_a_kept_answer_is_read_without_beginning
                inv_08_another_request_under_a_key_is_refused
                inv_08_a_key_is_forgotten_if_no_attempt_began
                inv_32_a_call_whose_process_died_is_unknown
                inv_32_an_unknown_call_may_be_taken_over
                a_late_answer_is_kept_if_nobody_took_over
                inv_32_a_repeated_begin_is_not_a_stranger
                inv_08_of_a_hundred_at_once_one_makes_the_call
                inv_13_a_key_is_of_its_scope
                a_record_is_logged_with_its_events_and_its_answer
                inv_32_a_repeated_log_writes_nothing_more
                inv_13_a_batch_holds_calls_of_many_workspaces
                the_list_is_paged_newest_first
                inv_38_a_sweep_does_not_forget_an_unknown_call
            }
            retention {
                inv_38_zero_days_touch_nothing_unfinished
                inv_38_ended_jobs_go_but_dead_ones_stay
                requests_and_events_go_by_their_age
                inv_35_a_sweep_goes_in_bounded_steps
                inv_35_what_stays_does_not_hide_what_goes
                a_tombstone_goes_by_its_own_time
                inv_38_a_sweep_shortens_no_idempotency_window
                inv_13_a_sweep_touches_its_workspace_only
            }
            payloads {
                a_row_is_read_back_as_written
                inv_44_a_row_is_of_its_workspace
                a_payload_comes_into_being_with_its_owner
                inv_33_a_refused_owner_leaves_no_payload
                inv_44_what_nobody_names_goes_after_its_time
                inv_38_what_somebody_names_stays
                a_payload_goes_with_the_last_that_names_it
                a_purged_job_names_nothing
                an_inbox_entry_names_its_body_until_that_goes
                an_execution_names_its_output_for_its_time
                what_is_named_must_be_there
                inv_35_a_sweep_of_payloads_goes_in_bounded_steps
                a_lost_object_is_noted_once
                a_payload_survives_a_restart
            }
            isolation {
                inv_13_nothing_foreign_is_read
                inv_13_nothing_foreign_is_changed
                inv_13_an_id_taken_elsewhere_is_free
            }
            watch {
                who_is_attached_hears_of_commits
                several_may_be_attached
                a_new_job_is_named
                what_comes_back_is_named
                inv_10_who_is_let_go_is_named
                inv_04_what_lost_a_lease_is_not_named
            }
            durability {
                a_store_says_what_it_is
                inv_01_what_was_acknowledged_survives_a_restart
                inv_02_a_running_job_is_rescued_after_a_restart
                inv_10_order_survives_a_restart
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
