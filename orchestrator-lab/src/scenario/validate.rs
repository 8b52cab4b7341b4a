//! What a scenario must not say.

use orchestrator_types::FieldError;

use super::{Failure, Phase, Scenario};

/// The longest scenario, in simulated seconds: a day.
pub const MAX_SECONDS: u64 = 86_400;
/// The most calls that a scenario may lead to, those included that clients make again.
pub const MAX_CALLS: u64 = 50_000_000;

const MAX_PHASES: usize = 1_000;
const MAX_PER_SECOND: f64 = 1_000_000.0;
const MAX_MS: u64 = 3_600_000;
const MAX_WORKERS: u32 = 1_000_000;
const MAX_ATTEMPTS: u32 = 100;
const MAX_TEXT: usize = 400;

struct Found(Vec<FieldError>);

impl Found {
    fn say(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    fn within<T: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        pointer: impl Into<String>,
        value: T,
        least: T,
        most: T,
    ) {
        // A NaN is in no range.
        if !(least..=most).contains(&value) {
            self.say(pointer, format!("must be between {least} and {most}, and is {value}"));
        }
    }
}

/// Everything in `scenario` that cannot be played, all at once.
pub(super) fn validate(scenario: &Scenario) -> Vec<FieldError> {
    let mut found = Found(Vec::new());
    let proper = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if scenario.name.is_empty() || scenario.name.len() > 64 || !scenario.name.chars().all(proper) {
        found.say("/name", "must be 1 to 64 small letters, digits and hyphens");
    }
    if scenario.about.chars().count() > MAX_TEXT || scenario.about.chars().any(char::is_control) {
        found.say("/about", format!("must be at most {MAX_TEXT} letters on one line"));
    }
    clients(scenario, &mut found);
    if scenario.phases.is_empty() || scenario.phases.len() > MAX_PHASES {
        found.say("/phases", format!("must be between 1 and {MAX_PHASES}, and are {}", scenario.phases.len()));
    }
    for (index, each) in scenario.phases.iter().enumerate() {
        phase(each, &format!("/phases/{index}"), &mut found);
    }
    // The sums mean something only if their parts do.
    if found.0.is_empty() {
        size(scenario, &mut found);
    }
    found.0
}

fn clients(scenario: &Scenario, found: &mut Found) {
    let clients = &scenario.clients;
    found.within("/clients/idempotent", clients.idempotent, 0.0, 1.0);
    if let Some(timeout) = clients.timeout_ms {
        found.within("/clients/timeout_ms", timeout, 1, MAX_MS);
    }
    if let Some(retry) = &clients.retry {
        found.within("/clients/retry/attempts", retry.attempts, 1, MAX_ATTEMPTS);
        found.within("/clients/retry/wait_ms", retry.wait_ms, 0, MAX_MS);
        found.within("/clients/retry/multiplier", retry.multiplier, 1.0, 100.0);
    }
}

fn phase(phase: &Phase, at: &str, found: &mut Found) {
    if phase.name.is_empty() || phase.name.chars().count() > 40 || phase.name.chars().any(char::is_control) {
        found.say(format!("{at}/name"), "must be 1 to 40 letters on one line");
    }
    found.within(format!("{at}/seconds"), phase.seconds, 1, MAX_SECONDS);
    found.within(format!("{at}/per_second"), phase.per_second, 0.0, MAX_PER_SECOND);
    let upstream = &phase.upstream;
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of an hour")]
    let longest = MAX_MS as f64;
    found.within(format!("{at}/upstream/latency/p50_ms"), upstream.latency.p50_ms, 0.0, longest);
    found.within(format!("{at}/upstream/latency/p99_ms"), upstream.latency.p99_ms, 0.0, longest);
    if upstream.latency.p99_ms < upstream.latency.p50_ms {
        found.say(format!("{at}/upstream/latency/p99_ms"), "must not be shorter than p50_ms");
    }
    if let Some(workers) = upstream.workers {
        found.within(format!("{at}/upstream/workers"), workers, 1, MAX_WORKERS);
    }
    found.within(format!("{at}/upstream/backlog"), upstream.backlog, 0, MAX_WORKERS);
    if let Some(failing) = &upstream.failing {
        found.within(format!("{at}/upstream/failing/ratio"), failing.ratio, 0.0, 1.0);
        if let Failure::Unavailable { retry_after_ms: Some(wait) } = failing.failure {
            found.within(format!("{at}/upstream/failing/as/retry_after_ms"), wait, 0, MAX_MS);
        }
    }
}

fn size(scenario: &Scenario, found: &mut Found) {
    let seconds = scenario.seconds();
    if seconds > MAX_SECONDS {
        found.say("/phases", format!("last {seconds} seconds in all, at most {MAX_SECONDS}"));
    }
    let each = scenario.clients.retry.as_ref().map_or(1, |retry| retry.attempts);
    let calls = scenario.requests() * f64::from(each);
    #[allow(clippy::cast_precision_loss, reason = "fifty million")]
    if calls > MAX_CALLS as f64 {
        found.say("/phases", format!("lead to up to {calls:.0} calls, at most {MAX_CALLS}"));
    }
}
