//! `orchestrator policy`: what a policy says, and what it would do. Nothing here speaks to a server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orchestrator_lab::{BUILT_IN_POLICIES, Contender, Examined, Report, Scenario, plot, run};
use serde::Serialize;
use serde_json::{Value, json};

use super::Verdict;
use super::connection::text_of;
use super::output::{Printer, clean, note, write};

/// What a policy says, and what it would do.
#[derive(Debug, Subcommand)]
pub(super) enum Policies {
    /// Say what in a policy cannot work, and what is likely to do harm.
    Check {
        /// A policy, a workspace's config or a bundle, in JSON or YAML; `-` is standard input.
        file: PathBuf,
    },
    /// Play a scenario of trouble through the real policy layers, and say what comes of it.
    Simulate(Simulate),
    /// List the built-in scenarios, or write one as a document to begin one's own with.
    Scenarios {
        /// The scenario to be written.
        name: Option<String>,
    },
}

/// Play a scenario.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// A policy: `dev`, `prod` or `naive` by name, or a file; of a config or bundle the one that FILE#NAME names. May be
    /// given several times, to compare them.
    #[arg(long = "policy", value_name = "NAME|FILE[#NAME]", required = true)]
    policies: Vec<String>,
    /// What happens: a built-in scenario by name, or a file.
    #[arg(long, value_name = "NAME|FILE")]
    scenario: String,
    /// The seed of all that is random: the same seed gives the same report.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many times the requests, and the upstream's workers and backlog with them.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    load: f64,
    /// Draw the report into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// In JSON: the figures of each second as well.
    #[arg(long)]
    series: bool,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    about: String,
    seconds: u64,
}

impl Policies {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Check { file } => check(printer, &file),
            Self::Scenarios { name: None } => list(printer),
            Self::Scenarios { name: Some(name) } => {
                printer.json(&Scenario::built_in(&name)?)?;
                Ok(Verdict::Good)
            }
            Self::Simulate(simulate) => {
                let (report, simulate) = tokio::task::spawn_blocking(move || {
                    let report = simulate.play()?;
                    anyhow::Ok((report, simulate))
                })
                .await??;
                simulate.tell(printer, &report)
            }
        }
    }
}

impl Simulate {
    fn play(&self) -> anyhow::Result<Report> {
        let scenario = scenario(&self.scenario)?;
        // At a factor of one it is played as it is written.
        #[allow(clippy::float_cmp, reason = "the default, as it was given")]
        let scenario = if self.load == 1.0 { scenario } else { scenario.scaled(self.load)? };
        let mut contenders =
            self.policies.iter().map(|policy| contender(policy)).collect::<anyhow::Result<Vec<_>>>()?;
        // Files of one name in different folders are told apart by what was given.
        let names: Vec<String> = contenders.iter().map(|contender| contender.name.clone()).collect();
        for (contender, given) in contenders.iter_mut().zip(&self.policies) {
            if names.iter().filter(|name| **name == contender.name).count() > 1 {
                contender.name.clone_from(given);
            }
        }
        Ok(run(&scenario, &contenders, self.seed)?)
    }

    fn tell(&self, printer: Printer, report: &Report) -> anyhow::Result<Verdict> {
        if let Some(path) = &self.plot {
            std::fs::write(path, plot(report)).with_context(|| path.display().to_string())?;
        }
        if printer.is_json() {
            let mut told = serde_json::to_value(report)?;
            if self.series {
                told["series"] = json!(report.series());
            }
            printer.json(&told)?;
            return Ok(Verdict::Good);
        }
        let scenario = &report.scenario;
        #[allow(clippy::float_cmp, reason = "the default, as it was given")]
        let load = if self.load == 1.0 { String::new() } else { format!(", load × {}", self.load) };
        write(&clean(&format!("{} (seed {}{load}): {}", scenario.name, scenario.seed, scenario.about)))?;
        for table in report.tables() {
            write("")?;
            let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
            printer.table(&header, table.rows.into_iter())?;
        }
        if let Some(path) = &self.plot {
            note(&format!("plot: {}", path.display()))?;
        }
        Ok(Verdict::Good)
    }
}

fn check(printer: Printer, path: &Path) -> anyhow::Result<Verdict> {
    let examined = Contender::examine(&document(path)?, &stem(path))?;
    let good = examined.iter().all(|found| found.errors.is_empty());
    if printer.is_json() {
        printer.json(&json!({"policies": examined}))?;
    } else {
        let rows = examined.iter().flat_map(findings);
        printer.table(&["policy", "result", "at", "detail"], rows)?;
    }
    Ok(good.into())
}

/// A row for each thing that there is to say about a policy; one that says so if there is nothing.
fn findings(examined: &Examined) -> Vec<Vec<String>> {
    let row = |result: &str, at: &str, detail: &str| [&examined.name, result, at, detail].map(str::to_owned).to_vec();
    let errors = examined.errors.iter().map(|error| row("error", &error.pointer, &error.detail));
    let warnings = examined.warnings.iter().map(|error| row("warning", &error.pointer, &error.detail));
    let rows: Vec<_> = errors.chain(warnings).collect();
    if rows.is_empty() { vec![row("ok", "", "")] } else { rows }
}

fn list(printer: Printer) -> anyhow::Result<Verdict> {
    let mut scenarios = Vec::new();
    for name in Scenario::built_in_names() {
        let scenario = Scenario::built_in(name)?;
        let seconds = scenario.seconds();
        scenarios.push(Listed { name: scenario.name, about: scenario.about, seconds });
    }
    if printer.is_json() {
        printer.json(&json!({"scenarios": scenarios}))?;
    } else {
        let rows = scenarios.into_iter().map(|each| vec![each.name, format!("{} s", each.seconds), each.about]);
        printer.table(&["scenario", "lasts", "what happens"], rows)?;
    }
    Ok(Verdict::Good)
}

/// A built-in scenario by its name, else the one in the file.
fn scenario(named: &str) -> anyhow::Result<Scenario> {
    let path = Path::new(named);
    let built_in = Scenario::built_in(named);
    if built_in.is_ok() || !(named == "-" || path.exists() || named.contains(['/', '.'])) {
        return Ok(built_in?);
    }
    Ok(Scenario::from_document(document(path)?, &stem(path))?)
}

/// A built-in policy by its name, else the one in the file, which may be named behind a `#`.
fn contender(named: &str) -> anyhow::Result<Contender> {
    if let Some(contender) = Contender::built_in(named) {
        return Ok(contender);
    }
    // A file may have a `#` in its name.
    let (path, chosen) = match named.rsplit_once('#') {
        Some((path, chosen)) if !Path::new(named).exists() => (Path::new(path), Some(chosen)),
        _ => (Path::new(named), None),
    };
    if path.as_os_str() != "-" && !path.exists() {
        bail!("there is no policy and no file `{named}`; by name there are {}", BUILT_IN_POLICIES.join(", "));
    }
    Contender::from_document(&document(path)?, chosen, &stem(path)).with_context(|| path.display().to_string())
}

/// A document in JSON or YAML.
fn document(path: &Path) -> anyhow::Result<Value> {
    let text = text_of(path)?;
    let what = || format!("{} is no document", path.display());
    if text.trim_start().starts_with('{') {
        // As JSON, if that is what it is: the other parser's words would speak of YAML.
        serde_json::from_str(&text).with_context(what)
    } else {
        serde_norway::from_str(&text).with_context(what)
    }
}

/// What a file's policy is called in reports.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}
