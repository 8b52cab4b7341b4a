//! What came of it, for each policy. A report is a value: tables, JSON and plots only show it.

mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::call::Ending;
use crate::measure::{Histogram, Measure, PhaseCounts, Second, Transition, recovered_after};
use crate::scenario::Scenario;

pub use tables::Table;

/// What came of a scenario, for each policy that was played through it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was played.
    pub scenario: ScenarioReport,
    /// What came of it, in the order in which the policies were given.
    pub policies: Vec<PolicyReport>,
}

/// What was played.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ScenarioReport {
    /// The scenario's name.
    pub name: String,
    /// What happens in it.
    pub about: String,
    /// How long it lasts.
    pub seconds: u64,
    /// The seed of all that is random.
    pub seed: u64,
    /// Its phases: their names, when they begin, and what is asked in them.
    pub phases: Vec<PhaseOfScenario>,
}

/// A phase as it was played.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PhaseOfScenario {
    /// Its name.
    pub name: String,
    /// The second in which it begins.
    pub from_s: u64,
    /// The second in which it has ended.
    pub to_s: u64,
    /// Requests a second.
    pub per_second: f64,
    /// Whether it is the trouble.
    pub trouble: bool,
}

/// What came of a scenario under one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The policy's name.
    pub name: String,
    /// What clients wanted.
    pub requests: u64,
    /// How much of it they got.
    pub succeeded: u64,
    /// The share of it.
    pub success_ratio: f64,
    /// Calls through the policy: more than requests only if clients call again by themselves.
    pub calls: u64,
    /// Attempts that reached the upstream.
    pub attempts: u64,
    /// Attempts a call: the load that the policy puts on the upstream. Below one, it kept calls away from it.
    pub amplification: f64,
    /// The second in which the upstream was hit hardest.
    pub peak: PeakReport,
    /// How long calls took, however they ended.
    pub latency_ms: LatencyReport,
    /// How long those took that succeeded.
    pub latency_of_successes_ms: LatencyReport,
    /// Retries that the policy made.
    pub retries: u64,
    /// Failures that were not tried again, by reason.
    pub gave_up: BTreeMap<&'static str, u64>,
    /// Answers of the upstream that nobody waited for any more: work in vain.
    pub abandoned: u64,
    /// The most requests that waited for the upstream's workers.
    pub most_waiting: u64,
    /// Calls that the policy refused, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Calls that failed otherwise, by the last failure.
    pub failed: BTreeMap<&'static str, u64>,
    /// How often the breaker changed its state.
    pub breaker_changes: u64,
    /// The first ten thousand changes.
    pub breaker: Vec<BreakerChange>,
    /// Seconds from the end of the trouble until requests succeed again for good; nothing if they never do, or if there
    /// was no trouble or nothing after it.
    pub recovered_after_s: Option<u64>,
    /// Whether there was a recovery to be measured.
    pub recovery_measured: bool,
    /// The same by phase.
    pub phases: Vec<PhaseReport>,
    /// The same by second, or longer stretches in long scenarios.
    #[serde(skip)]
    pub series: Vec<SecondReport>,
}

/// The second in which most attempts reached the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PeakReport {
    /// So many did.
    pub attempts_per_second: u32,
    /// In this second.
    pub at_s: u64,
    /// So many requests had come in it.
    pub requests_per_second: u32,
}

/// Quantiles, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LatencyReport {
    /// Half of them took no longer.
    pub p50: Option<u64>,
    /// Nine in ten took no longer.
    pub p90: Option<u64>,
    /// 99 in 100 took no longer.
    pub p99: Option<u64>,
    /// None took longer.
    pub max: Option<u64>,
}

/// A change of the breaker.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BreakerChange {
    /// When, in seconds since the start.
    pub at_s: f64,
    /// From which state.
    pub from: &'static str,
    /// To which.
    pub to: &'static str,
    /// The attempts that it was decided on.
    pub calls: u32,
    /// How many of them had failed.
    pub failures: u32,
}

/// What came of a phase: what began in it, and the attempts that reached the upstream in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PhaseReport {
    /// The phase's name.
    pub name: String,
    /// What clients wanted.
    pub requests: u64,
    /// How much of it they got.
    pub succeeded: u64,
    /// The share of it.
    pub success_ratio: f64,
    /// Calls through the policy.
    pub calls: u64,
    /// Attempts that reached the upstream.
    pub attempts: u64,
    /// Attempts a call.
    pub amplification: f64,
    /// How long calls took.
    pub latency_ms: LatencyReport,
}

/// What happened in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SecondReport {
    /// The second in which it begins.
    pub at_s: u64,
    /// How many seconds it lasts.
    pub seconds: u64,
    /// Requests that began in it.
    pub requests: u64,
    /// How many of them ended well, whenever that was.
    pub succeeded: u64,
    /// Calls through the policy.
    pub calls: u64,
    /// Attempts that reached the upstream.
    pub attempts: u64,
    /// Half of the calls that began in it took no longer.
    pub p50_ms: Option<u64>,
    /// 99 in 100 of them took no longer.
    pub p99_ms: Option<u64>,
}

impl Report {
    pub(crate) fn new<'a>(
        scenario: &Scenario,
        seed: u64,
        measures: impl Iterator<Item = (&'a str, &'a Measure)>,
    ) -> Self {
        let phases = scenario.spans().map(|(from_s, to_s, phase)| PhaseOfScenario {
            name: phase.name.clone(),
            from_s,
            to_s,
            per_second: phase.per_second,
            trouble: phase.trouble,
        });
        Self {
            scenario: ScenarioReport {
                name: scenario.name.clone(),
                about: scenario.about.clone(),
                seconds: scenario.seconds(),
                seed,
                phases: phases.collect(),
            },
            policies: measures.map(|(name, measure)| policy(name, scenario, measure)).collect(),
        }
    }

    /// The report by second as well: each policy's `series`, in the policies' order.
    pub fn series(&self) -> Vec<&[SecondReport]> {
        self.policies.iter().map(|policy| policy.series.as_slice()).collect()
    }
}

fn policy(name: &str, scenario: &Scenario, measure: &Measure) -> PolicyReport {
    let sum = |count: fn(&PhaseCounts) -> u64| measure.phases.iter().map(count).sum::<u64>();
    let (requests, succeeded) = (sum(|phase| phase.requests), sum(|phase| phase.succeeded));
    let (calls, attempts) = (sum(|phase| phase.calls), sum(|phase| phase.attempts));
    let mut latency = Histogram::default();
    measure.phases.iter().for_each(|phase| latency.add(&phase.latency));
    let ended = |wanted: fn(Ending) -> bool| -> BTreeMap<&'static str, u64> {
        let endings = Ending::ALL.into_iter().filter(|ending| *ending != Ending::Succeeded && wanted(*ending));
        endings.map(|ending| (ending.as_str(), measure.ended_as(ending))).filter(|(_, count)| *count > 0).collect()
    };
    let recovery = recovery(scenario, &measure.seconds);
    PolicyReport {
        name: name.to_owned(),
        requests,
        succeeded,
        success_ratio: ratio(succeeded, requests),
        calls,
        attempts,
        amplification: ratio(attempts, calls),
        peak: peak(&measure.seconds),
        latency_ms: latency_of(&latency),
        latency_of_successes_ms: latency_of(&measure.latency_of_successes),
        retries: measure.retries,
        gave_up: measure.gave_up.clone(),
        abandoned: measure.abandoned,
        most_waiting: measure.most_waiting,
        rejected: ended(Ending::is_rejection),
        failed: ended(|ending| !ending.is_rejection()),
        breaker_changes: measure.transitions_in_all,
        breaker: measure.transitions.iter().map(change).collect(),
        recovered_after_s: recovery.flatten(),
        recovery_measured: recovery.is_some(),
        phases: scenario
            .phases
            .iter()
            .zip(&measure.phases)
            .map(|(phase, counts)| of_phase(&phase.name, counts))
            .collect(),
        series: series(measure),
    }
}

/// Nothing where there was no trouble, or nothing after it.
fn recovery(scenario: &Scenario, seconds: &[Second]) -> Option<Option<u64>> {
    let index = |second: u64| usize::try_from(second).unwrap_or(usize::MAX);
    let trouble = scenario.spans().find(|(.., phase)| phase.trouble).map(|(from, ..)| index(from))?;
    let end = scenario.spans().filter(|(.., phase)| phase.trouble).last().map(|(_, to, _)| index(to))?;
    (end < seconds.len()).then(|| recovered_after(seconds, trouble, end))
}

fn of_phase(name: &str, counts: &PhaseCounts) -> PhaseReport {
    PhaseReport {
        name: name.to_owned(),
        requests: counts.requests,
        succeeded: counts.succeeded,
        success_ratio: ratio(counts.succeeded, counts.requests),
        calls: counts.calls,
        attempts: counts.attempts,
        amplification: ratio(counts.attempts, counts.calls),
        latency_ms: latency_of(&counts.latency),
    }
}

/// The first of the seconds in which most attempts reached the upstream.
fn peak(seconds: &[Second]) -> PeakReport {
    let mut peak = PeakReport { attempts_per_second: 0, at_s: 0, requests_per_second: 0 };
    for (at_s, second) in (0..).zip(seconds) {
        if second.attempts > peak.attempts_per_second {
            let requests_per_second = second.requests;
            peak = PeakReport { attempts_per_second: second.attempts, at_s, requests_per_second };
        }
    }
    peak
}

fn series(measure: &Measure) -> Vec<SecondReport> {
    let length = usize::try_from(measure.slot_seconds).unwrap_or(usize::MAX);
    let stretches = measure.seconds.chunks(length).zip(&measure.slots);
    let starts = (0..).step_by(length);
    let report = |(at_s, (seconds, latency)): (u64, (&[Second], &Histogram))| {
        let sum = |count: fn(&Second) -> u32| seconds.iter().map(|second| u64::from(count(second))).sum();
        SecondReport {
            at_s,
            seconds: seconds.len() as u64,
            requests: sum(|second| second.requests),
            succeeded: sum(|second| second.succeeded),
            calls: sum(|second| second.calls),
            attempts: sum(|second| second.attempts),
            p50_ms: latency.quantile(0.5),
            p99_ms: latency.quantile(0.99),
        }
    };
    starts.zip(stretches).map(report).collect()
}

fn change(transition: &Transition) -> BreakerChange {
    BreakerChange {
        at_s: seconds(transition.at),
        from: transition.from.as_str(),
        to: transition.to.as_str(),
        calls: transition.calls,
        failures: transition.failures,
    }
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

fn latency_of(histogram: &Histogram) -> LatencyReport {
    LatencyReport {
        p50: histogram.quantile(0.5),
        p90: histogram.quantile(0.9),
        p99: histogram.quantile(0.99),
        max: histogram.max(),
    }
}

/// To four places, so that reports are read and compared easily. Of nothing it is zero.
#[allow(clippy::cast_precision_loss, reason = "counts of millions")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e4).round() / 1e4 }
}
