//! A scenario: what clients want of an upstream, and what happens to it, phase by phase, as a document.

mod built_in;
mod validate;

use orchestrator_types::{FieldError, Jitter};
use serde::{Deserialize, Serialize};

pub use validate::{MAX_CALLS, MAX_SECONDS};

use crate::error::Error;

/// What is played through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called: small letters, digits and hyphens.
    pub name: String,
    /// What happens in it, in a sentence.
    pub about: String,
    /// How its clients behave.
    #[serde(default)]
    pub clients: Clients,
    /// What happens, one after the other.
    pub phases: Vec<Phase>,
}

/// How clients behave. They come by themselves, whether those before them were served or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// The share of requests that may be sent twice without harm.
    pub idempotent: f64,
    /// What they send as `timeout_ms`: it shortens the policy's total deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether they call again by themselves, on top of the policy's retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<ClientRetry>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { idempotent: 1.0, timeout_ms: None, retry: None }
    }
}

/// The retries of clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRetry {
    /// Calls in all, the first included.
    pub attempts: u32,
    /// The first wait.
    pub wait_ms: u64,
    /// By how much the wait grows.
    #[serde(default = "one")]
    pub multiplier: f64,
    /// How it is spread.
    #[serde(default = "no_jitter")]
    pub jitter: Jitter,
    /// Whether they wait as long as a refusal asks them to.
    #[serde(default)]
    pub heed_retry_after: bool,
}

fn one() -> f64 {
    1.0
}

fn no_jitter() -> Jitter {
    Jitter::None
}

/// A stretch of time in which nothing changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What it is called.
    pub name: String,
    /// How long it lasts.
    pub seconds: u64,
    /// Requests a second.
    pub per_second: f64,
    /// How they arrive.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// Whether this is the trouble: recovery is counted from the end of the last phase that is, and plots shade it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trouble: bool,
    /// How the upstream is.
    #[serde(default)]
    pub upstream: UpstreamState,
}

/// How requests arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Arrivals {
    /// Independently of each other, as those of many users do.
    #[default]
    Poisson,
    /// At even distances.
    Uniform,
}

/// How the upstream is. Without any field: well, and never busy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamState {
    /// How long it works on a request.
    pub latency: Latency,
    /// What fails of what it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// How many requests it works on at once. What is over waits, first come first served, and is worked on even if
    /// whoever asked has gone meanwhile. Absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// How many may wait for a worker; the rest are refused with 503 at once.
    pub backlog: u32,
}

impl Default for UpstreamState {
    fn default() -> Self {
        Self { latency: Latency::default(), failing: None, workers: None, backlog: 1_000 }
    }
}

/// A log-normal distribution, by two of its quantiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Half of the requests take no longer.
    pub p50_ms: f64,
    /// One in a hundred takes longer.
    pub p99_ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { p50_ms: 40.0, p99_ms: 160.0 }
    }
}

/// What fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// The share of what it is asked.
    pub ratio: f64,
    /// How.
    #[serde(rename = "as")]
    pub failure: Failure,
}

/// How a request fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Failure {
    /// With 500, after the usual work.
    Error {},
    /// The connection is refused: surely nothing was sent.
    Refused {},
    /// With 503 at the door.
    Unavailable {
        /// What `Retry-After` says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// It is never answered.
    Hang {},
    /// With 400, after the usual work: trying again does not help.
    Rejected {},
}

impl Scenario {
    /// The names of the built-in scenarios.
    pub fn built_in_names() -> Vec<&'static str> {
        built_in::DOCUMENTS.iter().map(|(name, _)| *name).collect()
    }

    /// The built-in scenario of this name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownScenario`], with the names that there are.
    pub fn built_in(name: &str) -> Result<Self, Error> {
        let found = built_in::DOCUMENTS.iter().find(|(known, _)| *known == name);
        let (_, text) =
            found.ok_or_else(|| Error::UnknownScenario { name: name.to_owned(), known: Self::built_in_names() })?;
        let document = serde_json::from_str(text).map_err(|error| Error::Invalid {
            what: name.to_owned(),
            errors: vec![FieldError::new("", error.to_string())],
        })?;
        Self::from_document(document, name)
    }

    /// The scenario that a document describes. `what` names the document in errors.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], with all that is wrong and where.
    pub fn from_document(document: serde_json::Value, what: &str) -> Result<Self, Error> {
        let invalid = |errors| Error::Invalid { what: what.to_owned(), errors };
        let scenario: Self = serde_path_to_error::deserialize(document).map_err(|error| {
            let at = crate::contender::pointer(error.path());
            invalid(vec![FieldError::new(at, error.into_inner().to_string())])
        })?;
        let errors = scenario.validate();
        if errors.is_empty() { Ok(scenario) } else { Err(invalid(errors)) }
    }

    /// All that is wrong with it. Empty means that it can be played.
    pub fn validate(&self) -> Vec<FieldError> {
        validate::validate(self)
    }

    /// The same with `factor` times the requests, and as many times the upstream's workers and its backlog.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if that is more than can be played.
    pub fn scaled(&self, factor: f64) -> Result<Self, Error> {
        let invalid = |errors| Error::Invalid { what: format!("{} × {factor}", self.name), errors };
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(invalid(vec![FieldError::new("", "the load's factor must be a number above 0")]));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and is checked")]
        let times = |count: u32| (f64::from(count) * factor).ceil() as u32;
        let mut scaled = self.clone();
        for phase in &mut scaled.phases {
            phase.per_second *= factor;
            phase.upstream.workers = phase.upstream.workers.map(times);
            phase.upstream.backlog = times(phase.upstream.backlog);
        }
        let errors = scaled.validate();
        if errors.is_empty() { Ok(scaled) } else { Err(invalid(errors)) }
    }

    /// How long it lasts.
    pub fn seconds(&self) -> u64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }

    /// The requests that are to be expected.
    #[allow(clippy::cast_precision_loss, reason = "seconds of a day")]
    pub fn requests(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds as f64 * phase.per_second).sum()
    }

    /// The seconds in which each phase begins and ends.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (u64, u64, &Phase)> {
        let mut from = 0;
        self.phases.iter().map(move |phase| {
            let start = from;
            from += phase.seconds;
            (start, from, phase)
        })
    }
}
