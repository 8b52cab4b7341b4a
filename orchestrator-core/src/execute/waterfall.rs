//! A call as a waterfall: where its time went, one stage after the other. Pure: made of what was recorded.

use orchestrator_types::{AttemptOutcome, AttemptRecord, Decision, Stage};

/// The stages of a call, by when they began: the limits it passed, the waits before its attempts, and the attempts, each with
/// what the breaker was like when it began.
pub(super) fn waterfall(attempts: &[AttemptRecord], decisions: &[Decision]) -> Vec<Stage> {
    let of = |policies: &'static [&str]| {
        decisions.iter().filter(|decision| policies.contains(&decision.policy.as_str())).filter_map(decided)
    };
    let mut stages: Vec<Stage> = of(&["rate_limit", "concurrency"]).collect();
    // Every attempt passes the breaker once, in the order in which they begin.
    let mut breaker = decisions.iter().filter(|decision| {
        decision.policy == "breaker" && matches!(decision.decision.as_str(), "admitted" | "rejected")
    });
    for attempt in attempts {
        stages.extend(waited(attempt));
        let seen = breaker.next().and_then(|decision| decision.detail.clone());
        stages.push(Stage {
            stage: if is_hedge(attempt) { "hedge" } else { "attempt" }.to_owned(),
            attempt: Some(attempt.number),
            start_ms: attempt.start_ms,
            duration_ms: attempt.duration_ms,
            outcome: outcome(attempt.outcome).to_owned(),
            status: attempt.status,
            detail: seen.map(|seen| format!("breaker {seen}")),
        });
    }
    // What ended the call stands behind what was ended, also within a millisecond.
    stages.extend(of(&["retry", "deadline", "fallback"]));
    stages.sort_by_key(|stage| stage.start_ms);
    stages
}

/// What a policy outside of the attempts decided, with the wait that it cost.
fn decided(decision: &Decision) -> Option<Stage> {
    let wait = decision.wait_ms.unwrap_or(0);
    // That an attempt is made again is told by the wait before it.
    (decision.decision != "retried").then(|| Stage {
        stage: decision.policy.clone(),
        attempt: None,
        start_ms: decision.at_ms.saturating_sub(wait),
        duration_ms: wait,
        outcome: decision.decision.clone(),
        status: None,
        detail: decision.detail.clone(),
    })
}

/// The wait before an attempt. A hedge is not waited for: it begins beside the attempt that takes long.
fn waited(attempt: &AttemptRecord) -> Option<Stage> {
    let reason = attempt.wait_reason.clone().filter(|_| !is_hedge(attempt))?;
    Some(Stage {
        stage: "wait".to_owned(),
        attempt: Some(attempt.number),
        start_ms: attempt.start_ms.saturating_sub(attempt.wait_ms),
        duration_ms: attempt.wait_ms,
        outcome: reason,
        status: None,
        detail: None,
    })
}

fn is_hedge(attempt: &AttemptRecord) -> bool {
    attempt.wait_reason.as_deref() == Some("hedge")
}

fn outcome(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Succeeded => "succeeded",
        AttemptOutcome::Rejected => "rejected",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Timeout => "timeout",
        AttemptOutcome::Unreachable => "unreachable",
        AttemptOutcome::BreakerOpen => "breaker_open",
        AttemptOutcome::Cancelled => "cancelled",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(policy: &str, decision: &str, at_ms: u64, wait_ms: Option<u64>) -> Decision {
        let detail = Some(format!("{policy} {decision}"));
        Decision { policy: policy.to_owned(), decision: decision.to_owned(), at_ms, wait_ms, detail }
    }

    fn attempt(
        number: u32,
        start_ms: u64,
        wait_ms: u64,
        reason: Option<&str>,
        outcome: AttemptOutcome,
    ) -> AttemptRecord {
        let wait_reason = reason.map(str::to_owned);
        AttemptRecord { number, start_ms, wait_ms, wait_reason, outcome, status: None, duration_ms: 50 }
    }

    #[test]
    fn the_time_of_a_call_is_told_stage_by_stage() {
        let decisions = [
            decision("rate_limit", "waited", 30, Some(30)),
            decision("concurrency", "waited", 40, Some(10)),
            decision("breaker", "admitted", 40, None),
            decision("retry", "retried", 90, None),
            decision("breaker", "admitted", 190, None),
        ];
        let attempts = [
            attempt(1, 40, 0, None, AttemptOutcome::Failed),
            attempt(2, 190, 100, Some("backoff"), AttemptOutcome::Succeeded),
        ];
        let told: Vec<_> = waterfall(&attempts, &decisions)
            .into_iter()
            .map(|stage| (stage.stage, stage.start_ms, stage.duration_ms, stage.outcome))
            .collect();
        let expected = [
            ("rate_limit", 0, 30, "waited"),
            ("concurrency", 30, 10, "waited"),
            ("attempt", 40, 50, "failed"),
            ("wait", 90, 100, "backoff"),
            ("attempt", 190, 50, "succeeded"),
        ];
        assert_eq!(told, expected.map(|(stage, start, took, end)| (stage.to_owned(), start, took, end.to_owned())));
    }

    #[test]
    fn each_attempt_says_what_the_breaker_was_like_and_a_hedge_runs_beside_its_first() {
        let mut decisions = [
            decision("breaker", "admitted", 0, None),
            decision("hedge", "hedged", 25, None),
            decision("breaker", "rejected", 25, None),
        ];
        decisions[0].detail = Some("closed: 0 of 7 calls failed".to_owned());
        decisions[2].detail = Some("open, 5 of 9 calls failed".to_owned());
        let attempts = [
            attempt(1, 0, 0, None, AttemptOutcome::Succeeded),
            attempt(2, 25, 25, Some("hedge"), AttemptOutcome::BreakerOpen),
        ];
        let stages = waterfall(&attempts, &decisions);
        assert_eq!(stages[0].detail.as_deref(), Some("breaker closed: 0 of 7 calls failed"));
        assert_eq!((stages[1].stage.as_str(), stages[1].start_ms), ("hedge", 25));
        assert_eq!(stages[1].detail.as_deref(), Some("breaker open, 5 of 9 calls failed"));
        assert_eq!(stages.len(), 2);
    }
}
