//! The policy lab: what a policy does to callers and to an upstream, before either is hurt.
//!
//! A [`Scenario`] says what clients want and what happens to the upstream, phase by phase. [`run`] drives the very layers
//! that production runs (`orchestrator_core::policy::stack`) through it under paused time, and [`Report`] says what came
//! of it, for several policies side by side, as tables, JSON and an SVG [`plot`].
//!
//! Its one rule: the same scenario, policies and seed give the same report, byte for byte.
//!
//! ```
//! use orchestrator_lab::{Contender, Scenario, run};
//!
//! let scenario = Scenario::built_in("upstream-down").unwrap();
//! let contenders = [Contender::built_in("prod").unwrap(), Contender::built_in("naive").unwrap()];
//! let report = run(&scenario, &contenders, 1).unwrap();
//! assert!(report.policies[0].amplification < report.policies[1].amplification);
//! ```

mod call;
mod clients;
mod contender;
mod error;
mod measure;
mod plot;
mod report;
mod run;
mod scenario;
mod upstream;

pub use contender::{BUILT_IN_POLICIES, Contender, Examined};
pub use error::Error;
pub use plot::plot;
pub use report::{
    BreakerChange, LatencyReport, PeakReport, PhaseOfScenario, PhaseReport, PolicyReport, Report, ScenarioReport,
    SecondReport, Table,
};
pub use run::{MAX_CONTENDERS, MAX_IN_FLIGHT, run};
pub use scenario::{
    Arrivals, ClientRetry, Clients, Failing, Failure, Latency, MAX_CALLS, MAX_SECONDS, Phase, Scenario, UpstreamState,
};
