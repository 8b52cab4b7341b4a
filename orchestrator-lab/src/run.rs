//! Runs policies through a scenario: each on a thread of its own, under a clock of its own that is paused, so that time
//! passes as fast as there is nothing to do.

use std::thread;

use orchestrator_core::policy::{PolicyState, stack, validate};
use orchestrator_types::{FieldError, OnLimit, Policy};

use crate::call::ByAnswer;
use crate::clients::play;
use crate::contender::Contender;
use crate::error::Error;
use crate::measure::{Measure, Shared, Watch, World};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::upstream::{Answering, Upstream};

/// The most policies that are compared at once.
pub const MAX_CONTENDERS: usize = 8;
/// The most requests that may be under way at once: each is kept in memory.
pub const MAX_IN_FLIGHT: u64 = 500_000;

/// Plays `scenario` once for each contender, and tells what came of it. Every contender meets the same arrivals. The same
/// arguments give the same report.
///
/// Blocks for as long as it takes, a few seconds for a million calls.
///
/// # Errors
///
/// [`Error::Invalid`] for a scenario or policy that cannot work, or two of one name; [`Error::TooLarge`] if more would be
/// under way at once than is kept in memory.
pub fn run(scenario: &Scenario, contenders: &[Contender], seed: u64) -> Result<Report, Error> {
    check(scenario, contenders)?;
    let measures = thread::scope(|scope| {
        let runs: Vec<_> =
            contenders.iter().map(|contender| scope.spawn(|| simulate(scenario, &contender.policy, seed))).collect();
        let joined = runs.into_iter().map(|run| run.join().unwrap_or_else(|_| Err(broken("a run has panicked"))));
        joined.collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Report::new(scenario, seed, contenders.iter().map(|contender| contender.name.as_str()).zip(&measures)))
}

fn check(scenario: &Scenario, contenders: &[Contender]) -> Result<(), Error> {
    let errors = scenario.validate();
    if !errors.is_empty() {
        return Err(Error::Invalid { what: scenario.name.clone(), errors });
    }
    if contenders.is_empty() || contenders.len() > MAX_CONTENDERS {
        return Err(Error::TooLarge(format!("between 1 and {MAX_CONTENDERS} policies are compared at once")));
    }
    for (index, contender) in contenders.iter().enumerate() {
        let what = contender.name.clone();
        let errors = validate(&contender.policy);
        if !errors.is_empty() {
            return Err(Error::Invalid { what, errors });
        }
        if contenders.iter().take(index).any(|other| other.name == contender.name) {
            let errors = vec![FieldError::new("", "two policies of this name cannot be told apart")];
            return Err(Error::Invalid { what, errors });
        }
        let most = most_in_flight(scenario, &contender.policy);
        #[allow(clippy::cast_precision_loss, reason = "half a million")]
        if most > MAX_IN_FLIGHT as f64 {
            return Err(Error::TooLarge(format!(
                "under `{what}` up to {most:.0} requests would be under way at once, at most {MAX_IN_FLIGHT}: fewer a \
                 second, or a shorter total deadline"
            )));
        }
    }
    Ok(())
}

/// How many requests there may be under way at once.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of an hour")]
fn most_in_flight(scenario: &Scenario, policy: &Policy) -> f64 {
    let clients = &scenario.clients;
    let rate = scenario.phases.iter().map(|phase| phase.per_second).fold(0.0, f64::max);
    let total_ms = clients.timeout_ms.map_or(policy.timeout.total_ms, |timeout| timeout.min(policy.timeout.total_ms));
    let (attempts, wait_s) = clients.retry.as_ref().map_or((1, 0.0), |retry| {
        let waits = (0..retry.attempts.saturating_sub(1)).map(|step| {
            let step = i32::try_from(step).unwrap_or(i32::MAX);
            (retry.wait_ms as f64 * retry.multiplier.powi(step) / 1e3).min(3_600.0)
        });
        (retry.attempts, waits.sum::<f64>())
    });
    let mut called = rate * f64::from(attempts) * total_ms as f64 / 1e3;
    let waits = policy.rate_limit.as_ref().is_some_and(|limit| limit.on_limit == OnLimit::Wait);
    if let Some(concurrency) = policy.concurrency.as_ref().filter(|_| !waits) {
        called = called.min(f64::from(concurrency.max) + f64::from(concurrency.queue));
    }
    (called + rate * wait_s).min(scenario.requests())
}

/// One run. What it measures is all that is left of it.
fn simulate(scenario: &Scenario, policy: &Policy, seed: u64) -> Result<Measure, Error> {
    // The layers draw their jitter from generators that are forked off the thread's own, and this thread is nobody else's.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| broken(&error.to_string()))?;
    let measure = runtime.block_on(async {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let measure = Measure::new(scenario.seconds(), scenario.phases.len());
        let shared = Shared::new(World { measure, answering: Answering::new(seeds.u64(..)) });
        let state = PolicyState::new(policy);
        let upstream = Upstream::new(shared.clone());
        let service = stack(policy, &state, ByAnswer, Watch::new(shared.clone()), upstream);
        play(scenario, service, &shared, seeds.u64(..)).await;
        shared
    });
    drop(runtime);
    measure.into_measure().ok_or_else(|| broken("something of it still runs"))
}

fn broken(why: &str) -> Error {
    Error::Broken(why.to_owned())
}
