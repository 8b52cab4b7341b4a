//! What a server's answer, or its silence, means.

use std::error::Error as _;

use lettre::transport::smtp::Error;
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use orchestrator_types::UpstreamView;
use serde_json::{Value, json};

use super::input::RefusedRecipient;

/// The most that is shown of what a server said.
const SHOWN: usize = 1_024;

/// Where a dialogue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The greeting.
    Hello,
    /// The login.
    Login,
    /// Sender and recipients: nothing of the message is with the server.
    Envelope,
    /// The message itself: the server may have all of it.
    Content,
}

/// How an attempt ended whose dialogue failed. A server that said no has not taken the message, whenever it said so (RFC
/// 5321, 4.2.5): such a call may be sent again, whatever it is.
pub(super) fn failed(phase: Phase, problem: &Error) -> CallError {
    let Some(code) = problem.status().map(u16::from) else { return without_answer(phase, problem) };
    let detail = match phase {
        Phase::Hello => format!("the mail server greeted with {code}"),
        Phase::Login => format!("the mail server answered {code} to the login"),
        Phase::Envelope => format!("the mail server answered {code} to the sender"),
        Phase::Content => format!("the mail server answered {code} to the message"),
    };
    // What a server says of a login may hold it.
    let body = if phase == Phase::Login { Value::Null } else { Value::String(said(problem)) };
    refused(code, body, detail)
}

/// Recipients were refused, and so the message goes to nobody.
pub(super) fn nobody(refused: &[RefusedRecipient], may_pass: bool) -> CallError {
    // The code that decides.
    let code = refused.iter().find(|one| one.may_pass == may_pass).map_or(0, |one| one.code);
    let detail = match refused {
        [_] => format!("the mail server answered {code} to the recipient"),
        all => format!("the mail server refused {} recipients, the first of them with {code}", all.len()),
    };
    let kind = if may_pass { CallErrorKind::Failed } else { CallErrorKind::Rejected };
    let mut failed =
        CallError::answered(kind, UpstreamView { status: code, body: json!({"refused": refused}) }, detail);
    failed.sent = Sent::No;
    failed
}

/// An answer with a code that is no success.
pub(super) fn refused(code: u16, body: Value, detail: String) -> CallError {
    let kind = if code < 500 { CallErrorKind::Failed } else { CallErrorKind::Rejected };
    let mut failed = CallError::answered(kind, UpstreamView { status: code, body }, detail);
    failed.sent = Sent::No;
    failed
}

/// An answer did not come in time.
pub(super) fn late(phase: Phase) -> CallError {
    match phase {
        Phase::Content => lost("the mail server did not answer to the message in time"),
        _ => CallError::new(CallErrorKind::Failed, Sent::No, "the mail server did not answer in time"),
    }
}

fn without_answer(phase: Phase, problem: &Error) -> CallError {
    if problem.is_client() {
        let detail = match phase {
            Phase::Login => "the mail server offers no way to log in that is known here (PLAIN, LOGIN)",
            _ => "the message cannot be sent to this mail server",
        };
        return CallError::new(CallErrorKind::Rejected, Sent::No, detail);
    }
    match phase {
        Phase::Hello => CallError::new(CallErrorKind::Unreachable, Sent::No, "nothing that speaks SMTP answered"),
        Phase::Login | Phase::Envelope => CallError::new(
            CallErrorKind::Failed,
            Sent::No,
            "the mail server closed the connection before it had the message",
        ),
        Phase::Content => lost("the mail server closed the connection before it answered to the message"),
    }
}

fn lost(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Failed, Sent::Maybe, detail)
}

/// What the server said with its code.
pub(super) fn said(problem: &Error) -> String {
    shown(&problem.source().map(ToString::to_string).unwrap_or_default())
}

/// A server's text, within bounds.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(SHOWN).collect()
}
