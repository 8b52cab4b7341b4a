//! What every connector does: one public function a behaviour, a module a concern.
//!
//! [`connector_conformance!`](crate::connector_conformance) runs them all against a kind; each may also be called alone.
//! The kind is proved against an upstream that its harness plays: in memory, or on a socket of this machine.

pub mod cancellation;
pub mod deadlines;
pub mod description;
mod fixture;
pub mod health;
pub mod outcomes;
pub mod planning;
pub mod schema;
pub mod secrets;
pub mod settings;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::connector::ConnectorKind;
use serde_json::Value;

pub use self::upstream::{Held, ToldUpstream};

/// What the upstream does with every call from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It does what it is asked.
    Succeed,
    /// It does, and its answer holds all that it was sent, credentials too.
    Echo,
    /// It refuses for good: asking again changes nothing. Its answer holds all that it was sent.
    Refuse,
    /// It fails in a way that may pass. Its answer holds all that it was sent.
    Fail,
    /// It takes the call and does not answer while it is waited for.
    Hang,
    /// It fails, and asks to be left alone for so long.
    AskToWait(Duration),
    /// It takes the call, and the connection breaks before its answer.
    BreakOff,
    /// It cannot be reached.
    BeAway,
    /// It answers with this HTTP status.
    Status(u16),
}

impl Told {
    /// Whether every upstream can be told so. The rest is proved of those that can.
    pub(crate) const fn is_required(self) -> bool {
        matches!(self, Self::Succeed | Self::Echo | Self::Refuse | Self::Fail | Self::Hang)
    }
}

/// A call as the upstream saw it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All of it as text, credentials too.
    pub text: String,
    /// The key under which the upstream would do it only once, if it came with one.
    pub idempotency_key: Option<String>,
}

/// An operation, with inputs to try it with.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its name.
    pub operation: &'static str,
    /// An input that it takes, and that brings no idempotency key of its own.
    pub input: Value,
    /// Inputs that it does not take, each with a pointer that the refusal must name.
    pub refused: Vec<(Value, &'static str)>,
}

/// A kind as the suite wants it: with good and bad settings and inputs, and an upstream that does as it is told.
#[async_trait]
pub trait ConnectorHarness: Send + Sync {
    /// The kind.
    fn kind(&self) -> Arc<dyn ConnectorKind>;

    /// Settings that are good and lead to the upstream as it was last told. May differ after each [`tell`](Self::tell).
    fn settings(&self) -> Value;

    /// Settings that the kind refuses, each with a pointer that the refusal must name. An unknown field is tried anyway.
    fn refused_settings(&self) -> Vec<(Value, &'static str)>;

    /// The secret slots to fill: those whose secrets go out with each call. They must go together.
    fn filled_slots(&self) -> Vec<&'static str>;

    /// Operations to try, at least one.
    fn samples(&self) -> Vec<Sample>;

    /// Tells the upstream what to do. False if it cannot be told so; all can be told to succeed, echo, refuse, fail and
    /// hang.
    async fn tell(&self, told: Told) -> bool;

    /// Whether the upstream's protocol has it that what it refused, or failed with an answer, was surely not done, as mail
    /// servers'. Such a call counts as not sent, and may be sent again whatever it is.
    fn no_means_not_done(&self) -> bool {
        false
    }

    /// Every call that the upstream has seen.
    fn seen(&self) -> Vec<Seen>;

    /// Waits until the upstream holds just so many calls that it has taken and not ended: answered, or found abandoned
    /// by their caller. The suite bounds the wait.
    async fn until_held(&self, calls: usize);
}

/// Proves a connector kind: makes a test of every behaviour, in a module a concern.
///
/// Takes an expression that makes a [`ConnectorHarness`](crate::connector::ConnectorHarness), which may `await`; it is
/// evaluated anew for each test. The crate that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! connector_conformance {
    ($harness:expr) => {
        $crate::connector_behaviours! { $harness =>
            description {
                a_kind_can_be_registered
                a_kind_describes_itself_alike_each_time
                every_operation_has_schemas
                no_schema_asks_for_a_secret
            }
            schema {
                every_example_is_taken
                what_a_schema_refuses_is_refused
                every_output_is_what_its_schema_says
            }
            settings {
                good_settings_are_taken
                an_unknown_setting_is_refused
                bad_settings_are_refused_with_pointers
                inv_29_settings_of_any_shape_do_not_panic
            }
            planning {
                a_good_input_is_planned
                a_bad_input_is_refused_with_pointers
                an_unknown_operation_is_refused
                inv_29_inputs_of_any_shape_do_not_panic
                a_plan_agrees_with_what_the_operation_tells
                planning_sends_nothing
                what_was_refused_is_not_sent
            }
            outcomes {
                a_success_is_what_its_schema_says
                a_refusal_is_final
                a_failure_may_pass
                a_wait_that_was_asked_for_is_told
                a_call_that_was_cut_off_may_have_been_seen
                an_upstream_that_is_away_has_seen_nothing
                a_status_means_what_the_trait_says
                one_attempt_is_one_call
                inv_11_each_attempt_carries_the_same_key
                calls_at_once_do_not_mix
            }
            cancellation {
                inv_22_a_dropped_call_leaves_nothing
                inv_22_a_call_dropped_after_any_poll_leaves_nothing
            }
            deadlines {
                inv_18_a_call_that_hangs_is_ended_by_its_policy
            }
            health {
                a_check_says_how_the_upstream_stands
                inv_22_a_dropped_check_leaves_nothing
            }
            secrets {
                inv_23_an_echoed_secret_is_not_shown
                inv_23_an_error_names_no_secret
                a_rotated_secret_serves_the_next_call
                a_secret_that_cannot_be_had_sends_nothing
            }
        }
    };
}

/// Not to be called: [`connector_conformance!`](crate::connector_conformance) does.
#[doc(hidden)]
#[macro_export]
macro_rules! connector_behaviours {
    ($harness:expr => $($concern:ident { $($behaviour:ident)* })*) => {
        $(
            mod $concern {
                #[allow(unused_imports, reason = "what the harness expression names")]
                use super::*;

                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $behaviour() {
                        let harness = $harness;
                        $crate::connector::$concern::$behaviour(&harness).await;
                    }
                )*
            }
        )*
    };
}
